package main

import (
	"bytes"
	"os"
	"slices"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	monitoringv1alpha1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1alpha1"
	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer/json"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"
	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// objects are the decoded manifests of an overlay.
type objects struct {
	kinds       []string
	namespaces  []*corev1.Namespace
	templates   []corev1.PodTemplateSpec
	selectors   []map[string]string
	services    []*corev1.Service
	configs     map[string]*corev1.ConfigMap
	rules       []*monitoringv1.PrometheusRule
	scrapes     []*monitoringv1alpha1.ScrapeConfig
	zones       []string
	budgets     int
	allPolicies int
}

// build builds an overlay and decodes each of its manifests: an unknown or doubled
// field is an error.
func build(t *testing.T, dir string) objects {
	t.Helper()
	resources, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(filesys.MakeFsOnDisk(), "../"+dir)
	if err != nil {
		t.Fatal(err)
	}
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		appsv1.AddToScheme, corev1.AddToScheme, networkingv1.AddToScheme, policyv1.AddToScheme,
		monitoringv1.AddToScheme, monitoringv1alpha1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			t.Fatal(err)
		}
	}
	decoder := json.NewSerializerWithOptions(json.DefaultMetaFactory, scheme, scheme, json.SerializerOptions{Yaml: true, Strict: true})
	all := objects{configs: make(map[string]*corev1.ConfigMap)}
	for _, r := range resources.Resources() {
		text, err := r.AsYAML()
		if err != nil {
			t.Fatal(err)
		}
		o, kind, err := decoder.Decode(text, nil, nil)
		if err != nil {
			t.Errorf("%v\n%s", err, text)
			continue
		}
		all.kinds = append(all.kinds, kind.Kind)
		all.add(t, o)
	}
	slices.Sort(all.kinds)
	return all
}

func (all *objects) add(t *testing.T, o runtime.Object) {
	t.Helper()
	switch o := o.(type) {
	case *corev1.Namespace:
		all.namespaces = append(all.namespaces, o)
	case *appsv1.Deployment:
		all.templates, all.selectors = append(all.templates, o.Spec.Template), append(all.selectors, o.Spec.Selector.MatchLabels)
	case *appsv1.DaemonSet:
		all.templates, all.selectors = append(all.templates, o.Spec.Template), append(all.selectors, o.Spec.Selector.MatchLabels)
		all.zones = append(all.zones, o.Spec.Template.Spec.NodeSelector[corev1.LabelTopologyZone])
	case *corev1.Service:
		all.services = append(all.services, o)
	case *corev1.ConfigMap:
		all.configs[o.Name] = o
	case *policyv1.PodDisruptionBudget:
		all.budgets++
		all.selectors = append(all.selectors, o.Spec.Selector.MatchLabels)
	case *networkingv1.NetworkPolicy:
		all.allPolicies++
		all.selectors = append(all.selectors, o.Spec.PodSelector.MatchLabels)
	case *monitoringv1.PrometheusRule:
		all.rules = append(all.rules, o)
	case *monitoringv1alpha1.ScrapeConfig:
		all.scrapes = append(all.scrapes, o)
	case *monitoringv1.ServiceMonitor:
		all.selectors = append(all.selectors, o.Spec.Selector.MatchLabels)
	default:
		t.Errorf("nobody looks at a %T", o)
	}
}

// TestOverlays builds everything that a cluster may be given.
func TestOverlays(t *testing.T) {
	t.Parallel()
	for dir, tc := range map[string]struct {
		kinds string
		level api.Level // that the namespace asks for
		zones string
	}{
		"base":              {kinds: "ConfigMap Deployment Namespace NetworkPolicy PodDisruptionBudget Service", level: api.LevelRestricted},
		"overlays/syn":      {kinds: "ConfigMap Deployment Namespace NetworkPolicy PodDisruptionBudget Service", level: api.LevelPrivileged},
		"overlays/operator": {kinds: "ConfigMap Deployment Namespace NetworkPolicy PodDisruptionBudget PrometheusRule ScrapeConfig Service ServiceMonitor", level: api.LevelRestricted},
		"overlays/zones": {
			kinds: "ConfigMap ConfigMap DaemonSet DaemonSet Namespace NetworkPolicy NetworkPolicy PodDisruptionBudget PodDisruptionBudget Service Service",
			level: api.LevelRestricted, zones: "zone-a zone-b",
		},
	} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			all := build(t, dir)
			if kinds := strings.Join(all.kinds, " "); kinds != tc.kinds {
				t.Errorf("there are %s, want %s", kinds, tc.kinds)
			}
			if zones := strings.Join(all.zones, " "); zones != tc.zones {
				t.Errorf("the zones are %q, want %q", zones, tc.zones)
			}
			all.security(t, tc.level)
			all.fit(t)
		})
	}
}

// security fails the test unless the pods may run under the policy that their
// namespace asks for, and under no stricter one.
func (all *objects) security(t *testing.T, want api.Level) {
	t.Helper()
	if len(all.namespaces) != 1 || all.namespaces[0].Labels[api.EnforceLevelLabel] != string(want) {
		t.Fatalf("%d namespaces: %v", len(all.namespaces), all.namespaces)
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range all.templates {
		template := &all.templates[i]
		allowed := func(level api.Level) policy.AggregateCheckResult {
			at := api.LevelVersion{Level: level, Version: api.LatestVersion()}
			return policy.AggregateCheckResults(evaluator.EvaluatePod(at, &template.ObjectMeta, &template.Spec))
		}
		if result := allowed(want); !result.Allowed {
			t.Errorf("%s forbids: %s", want, result.ForbiddenDetail())
		}
		if want == api.LevelPrivileged && allowed(api.LevelBaseline).Allowed {
			t.Error("baseline would do")
		}
		c := template.Spec.Containers[0]
		if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
			t.Error("the container may write")
		}
	}
}

// fit fails the test unless what names another thing finds it.
func (all *objects) fit(t *testing.T) {
	t.Helper()
	matches := func(selector, labels map[string]string) bool {
		for k, v := range selector {
			if labels[k] != v {
				return false
			}
		}
		return len(selector) > 0
	}
	for _, s := range all.services {
		all.selectors = append(all.selectors, s.Spec.Selector)
	}
	for _, s := range all.selectors {
		if !slices.ContainsFunc(all.templates, func(p corev1.PodTemplateSpec) bool { return matches(s, p.Labels) }) {
			t.Errorf("no pod has the labels %v", s)
		}
	}
	for _, p := range all.templates {
		mounted := all.configs[p.Spec.Volumes[0].ConfigMap.Name]
		if mounted == nil || mounted.Data["config.yml"] == "" {
			t.Errorf("there is no ConfigMap %s with a config.yml", p.Spec.Volumes[0].ConfigMap.Name)
		}
		if port := p.Spec.Containers[0].Ports[0]; port.Name != "http" || all.services[0].Spec.Ports[0].TargetPort.StrVal != port.Name {
			t.Errorf("the port is %v", port)
		}
		if image := p.Spec.Containers[0].Image; image != "portscan_exporter:"+version(t) {
			t.Errorf("the image is %s", image)
		}
	}
	for _, s := range all.scrapes {
		want := "http://" + all.services[0].Name + "." + all.services[0].Namespace + ".svc:10115/sd"
		if got := string(s.Spec.HTTPSDConfigs[0].URL); got != want {
			t.Errorf("the targets are asked for at %s, want %s", got, want)
		}
	}
}

func version(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../VERSION")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

// TestPrometheusRule holds the manifest against the rules that it was made from.
func TestPrometheusRule(t *testing.T) {
	t.Parallel()
	alerts, err := os.ReadFile(alertsFile)
	if err != nil {
		t.Fatal(err)
	}
	want, err := prometheusRule(alerts)
	if err != nil {
		t.Fatal(err)
	}
	got, err := os.ReadFile(ruleFile)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("the PrometheusRule is not what prometheus/alerts.yml says: make manifests")
	}
}

// TestPrometheusRuleStrict refuses what the operator would.
func TestPrometheusRuleStrict(t *testing.T) {
	t.Parallel()
	if _, err := prometheusRule([]byte("groups: [{name: a, rules: [{alert: A, expr: up, fore: 5m}]}]")); err == nil {
		t.Error("a rule with an unknown key is taken")
	}
}

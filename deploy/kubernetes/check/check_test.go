// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package main

import (
	"bytes"
	"fmt"
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
	kinds      []string
	namespaces []*corev1.Namespace
	templates  []corev1.PodTemplateSpec
	selectors  []map[string]string
	services   []*corev1.Service
	configs    map[string]*corev1.ConfigMap
	rules      []*monitoringv1.PrometheusRule
	scrapes    []*monitoringv1alpha1.ScrapeConfig
	zones      []string
}

// buildOverlay builds an overlay and decodes its manifests. Unknown and duplicate
// fields are errors.
func buildOverlay(t *testing.T, dir string) objects {
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
		obj, kind, err := decoder.Decode(text, nil, nil)
		if err != nil {
			t.Errorf("%v\n%s", err, text)
			continue
		}
		all.kinds = append(all.kinds, kind.Kind)
		all.addObject(t, obj)
	}
	slices.Sort(all.kinds)
	return all
}

func (o *objects) addObject(t *testing.T, obj runtime.Object) {
	t.Helper()
	switch obj := obj.(type) {
	case *corev1.Namespace:
		o.namespaces = append(o.namespaces, obj)
	case *appsv1.Deployment:
		o.templates, o.selectors = append(o.templates, obj.Spec.Template), append(o.selectors, obj.Spec.Selector.MatchLabels)
	case *appsv1.DaemonSet:
		o.templates, o.selectors = append(o.templates, obj.Spec.Template), append(o.selectors, obj.Spec.Selector.MatchLabels)
		o.zones = append(o.zones, obj.Spec.Template.Spec.NodeSelector[corev1.LabelTopologyZone])
	case *corev1.Service:
		o.services = append(o.services, obj)
	case *corev1.ConfigMap:
		o.configs[obj.Name] = obj
	case *policyv1.PodDisruptionBudget:
		o.selectors = append(o.selectors, obj.Spec.Selector.MatchLabels)
	case *networkingv1.NetworkPolicy:
		o.selectors = append(o.selectors, obj.Spec.PodSelector.MatchLabels)
	case *monitoringv1.PrometheusRule:
		o.rules = append(o.rules, obj)
	case *monitoringv1alpha1.ScrapeConfig:
		o.scrapes = append(o.scrapes, obj)
	case *monitoringv1.ServiceMonitor:
		o.selectors = append(o.selectors, obj.Spec.Selector.MatchLabels)
	default:
		t.Errorf("no test for %T", obj)
	}
}

func TestOverlaysBuild(t *testing.T) {
	t.Parallel()
	for dir, tc := range map[string]struct {
		kinds string
		level api.Level // of the namespace
		zones string
	}{
		"base":              {kinds: "ConfigMap Deployment Namespace NetworkPolicy PodDisruptionBudget Service", level: api.LevelRestricted},
		"overlays/syn":      {kinds: "ConfigMap Deployment Namespace NetworkPolicy PodDisruptionBudget Service", level: api.LevelPrivileged},
		"overlays/tls":      {kinds: "ConfigMap Deployment Namespace NetworkPolicy PodDisruptionBudget Service", level: api.LevelRestricted},
		"overlays/operator": {kinds: "ConfigMap Deployment Namespace NetworkPolicy PodDisruptionBudget PrometheusRule ScrapeConfig Service ServiceMonitor", level: api.LevelRestricted},
		"overlays/zones": {
			kinds: "ConfigMap ConfigMap DaemonSet DaemonSet Namespace NetworkPolicy NetworkPolicy PodDisruptionBudget PodDisruptionBudget Service Service",
			level: api.LevelRestricted, zones: "zone-a zone-b",
		},
	} {
		t.Run(dir, func(t *testing.T) {
			t.Parallel()
			all := buildOverlay(t, dir)
			if kinds := strings.Join(all.kinds, " "); kinds != tc.kinds {
				t.Errorf("kinds = %s, want %s", kinds, tc.kinds)
			}
			if zones := strings.Join(all.zones, " "); zones != tc.zones {
				t.Errorf("zones = %q, want %q", zones, tc.zones)
			}
			all.checkSecurity(t, tc.level)
			all.checkReferences(t)
			all.checkProbes(t)
		})
	}
}

// checkSecurity checks that the namespace enforces the level, that the pods comply with
// it, and that a privileged level is needed.
func (o *objects) checkSecurity(t *testing.T, want api.Level) {
	t.Helper()
	if len(o.namespaces) != 1 || o.namespaces[0].Labels[api.EnforceLevelLabel] != string(want) {
		t.Fatalf("namespaces = %v, want one of level %s", o.namespaces, want)
	}
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		t.Fatal(err)
	}
	for i := range o.templates {
		template := &o.templates[i]
		allowed := func(level api.Level) policy.AggregateCheckResult {
			at := api.LevelVersion{Level: level, Version: api.LatestVersion()}
			return policy.AggregateCheckResults(evaluator.EvaluatePod(at, &template.ObjectMeta, &template.Spec))
		}
		if result := allowed(want); !result.Allowed {
			t.Errorf("level %s forbids: %s", want, result.ForbiddenDetail())
		}
		if want == api.LevelPrivileged && allowed(api.LevelBaseline).Allowed {
			t.Error("level baseline suffices")
		}
		c := template.Spec.Containers[0]
		if s := c.SecurityContext; s == nil || s.ReadOnlyRootFilesystem == nil || !*s.ReadOnlyRootFilesystem {
			t.Error("root file system is writable")
		}
	}
}

// checkReferences checks that selectors, ConfigMaps, ports and URLs refer to existing
// objects.
func (o *objects) checkReferences(t *testing.T) {
	t.Helper()
	matches := func(selector, labels map[string]string) bool {
		for k, v := range selector {
			if labels[k] != v {
				return false
			}
		}
		return len(selector) > 0
	}
	for _, s := range o.services {
		o.selectors = append(o.selectors, s.Spec.Selector)
	}
	for _, s := range o.selectors {
		if !slices.ContainsFunc(o.templates, func(p corev1.PodTemplateSpec) bool { return matches(s, p.Labels) }) {
			t.Errorf("selector %v matches no pod", s)
		}
	}
	for _, p := range o.templates {
		mounted := o.configs[p.Spec.Volumes[0].ConfigMap.Name]
		if mounted == nil || mounted.Data["config.yml"] == "" {
			t.Errorf("no ConfigMap %s with a config.yml", p.Spec.Volumes[0].ConfigMap.Name)
		}
		if port := p.Spec.Containers[0].Ports[0]; port.Name != "http" || o.services[0].Spec.Ports[0].TargetPort.StrVal != port.Name {
			t.Errorf("port = %v, want the target port of the Service", port)
		}
		if got, want := p.Spec.Containers[0].Image, "portscan_exporter:"+readVersion(t); got != want {
			t.Errorf("image = %s, want %s", got, want)
		}
	}
	for _, s := range o.scrapes {
		want := "http://" + o.services[0].Name + "." + o.services[0].Namespace + ".svc:10115/sd"
		if got := string(s.Spec.HTTPSDConfigs[0].URL); got != want {
			t.Errorf("ScrapeConfig URL = %s, want %s", got, want)
		}
	}
}

// checkProbes checks that the probes need no credentials: with a web configuration, they
// use the listener for health checks.
func (o *objects) checkProbes(t *testing.T) {
	t.Helper()
	for _, p := range o.templates {
		c, want, listener := p.Spec.Containers[0], "http", ""
		if slices.ContainsFunc(c.Args, func(arg string) bool { return strings.HasPrefix(arg, "--web.config.file=") }) {
			want = "health"
		}
		for _, port := range c.Ports {
			if port.Name == "health" {
				listener = fmt.Sprintf("--web.health-listen-address=:%d", port.ContainerPort)
			}
		}
		if want == "health" && !slices.Contains(c.Args, listener) {
			t.Errorf("arguments = %q, want the listener %q", c.Args, listener)
		}
		for path, probe := range map[string]*corev1.Probe{"/-/healthy": c.LivenessProbe, "/-/ready": c.ReadinessProbe} {
			if got := probe.HTTPGet; got.Path != path || got.Port.StrVal != want || got.Scheme != "" {
				t.Errorf("probe = %v, want %s of port %s", got, path, want)
			}
		}
	}
}

func readVersion(t *testing.T) string {
	t.Helper()
	text, err := os.ReadFile("../../../VERSION")
	if err != nil {
		t.Fatal(err)
	}
	return strings.TrimSpace(string(text))
}

func TestPrometheusRuleUpToDate(t *testing.T) {
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
		t.Error("PrometheusRule differs from prometheus/alerts.yml: run make manifests")
	}
}

func TestPrometheusRuleUnknownKey(t *testing.T) {
	t.Parallel()
	if _, err := prometheusRule([]byte("groups: [{name: a, rules: [{alert: A, expr: up, fore: 5m}]}]")); err == nil {
		t.Error("prometheusRule accepted an unknown key")
	}
}

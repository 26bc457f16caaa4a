// Command check writes the PrometheusRule of deploy/kubernetes/operator from the alert
// rules of prometheus/alerts.yml. Its tests build every overlay and hold the manifests
// against the types of the Kubernetes and operator APIs: a module of its own, so that
// these are no part of the exporter.
package main

import (
	"fmt"
	"os"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"sigs.k8s.io/yaml"
)

// The files, from this folder.
const (
	alertsFile = "../../../prometheus/alerts.yml"
	ruleFile   = "../operator/prometheusrule.yaml"
)

func main() {
	if err := run(); err != nil {
		fmt.Fprintln(os.Stderr, "check:", err)
		os.Exit(1) //nolint:forbidigo // this is a program
	}
}

func run() error {
	alerts, err := os.ReadFile(alertsFile)
	if err != nil {
		return fmt.Errorf("reading the alert rules: %w", err)
	}
	rule, err := prometheusRule(alerts)
	if err != nil {
		return err
	}
	if err := os.WriteFile(ruleFile, rule, 0o644); err != nil { //nolint:gosec // for everybody
		return fmt.Errorf("writing the manifest: %w", err)
	}
	return nil
}

// prometheusRule returns the manifest with the groups of a rule file.
func prometheusRule(alerts []byte) ([]byte, error) {
	rule := monitoringv1.PrometheusRule{
		TypeMeta:   metav1.TypeMeta{APIVersion: "monitoring.coreos.com/v1", Kind: monitoringv1.PrometheusRuleKind},
		ObjectMeta: metav1.ObjectMeta{Name: "portscan-exporter"},
	}
	if err := yaml.UnmarshalStrict(alerts, &rule.Spec); err != nil {
		return nil, fmt.Errorf("reading the alert rules: %w", err)
	}
	text, err := yaml.Marshal(rule)
	if err != nil {
		return nil, fmt.Errorf("writing the manifest: %w", err)
	}
	const head = "# Made by `make manifests` from prometheus/alerts.yml: change that file.\n"
	return append([]byte(head), text...), nil
}

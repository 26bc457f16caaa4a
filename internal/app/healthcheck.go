// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"
)

// HealthcheckOptions are the flags of the healthcheck command.
type HealthcheckOptions struct {
	URL string
}

// Healthcheck requests the URL once and returns [ExitOK] for a response with status 200.
func Healthcheck(o HealthcheckOptions, stdout, stderr io.Writer) int {
	const timeout = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	if err := requestHealth(ctx, o.URL); err != nil {
		fmt.Fprintf(stderr, "portscan_exporter: checking health: %v\n", err)
		return ExitFailure
	}
	fmt.Fprintln(stdout, "Healthy")
	return ExitOK
}

func requestHealth(ctx context.Context, url string) error {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return err
	}
	client := http.Client{}
	resp, err := client.Do(req)
	if err != nil {
		return err
	}
	defer func() { _ = resp.Body.Close() }()
	if resp.StatusCode != http.StatusOK {
		return errors.New(resp.Status)
	}
	return nil
}

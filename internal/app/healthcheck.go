package app

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/alecthomas/kingpin/v2"
)

type healthFlags struct {
	url string
}

func (f *healthFlags) register(c *kingpin.CmdClause) {
	c.Flag("url", "The URL to ask.").Default("http://127.0.0.1:10115/-/healthy").StringVar(&f.url)
}

// run asks once and returns 0 for a 200.
func (f *healthFlags) run(stdout, stderr io.Writer) int {
	const patience = 5 * time.Second
	ctx, cancel := context.WithTimeout(context.Background(), patience)
	defer cancel()
	if err := askHealth(ctx, f.url); err != nil {
		fmt.Fprintf(stderr, "portscan_exporter: asking for health: %v\n", err)
		return exitFailure
	}
	fmt.Fprintln(stdout, "Healthy")
	return exitOK
}

func askHealth(ctx context.Context, url string) error {
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

//go:build !linux

package testnet

import (
	"os"
	"testing"
)

// openTUN skips the test: the device is Linux's.
func openTUN(t *testing.T) (device *os.File, name string) {
	t.Helper()
	Skip(t, "TUN devices are made on Linux alone")
	return nil, ""
}

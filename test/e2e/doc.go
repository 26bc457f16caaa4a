// Package e2e holds the tests that run the program itself: the binary as it is
// built, real listeners, a real Prometheus. It is a module of its own, so that
// what these tests need is none of the exporter's.
//
// Nothing but loopback is ever scanned.
package e2e

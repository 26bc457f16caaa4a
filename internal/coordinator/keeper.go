// Copyright The portscan_exporter Authors
// SPDX-License-Identifier: Apache-2.0

package coordinator

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"time"

	"portscan_exporter/internal/scan"
)

// keeper saves what is to outlive the program whenever it has changed. A nil keeper
// does nothing. It may be used concurrently.
type keeper struct {
	file    string
	logger  *slog.Logger
	content func() (data []byte, left int, err error)
	busy    func() bool // there are scans under way whose findings are to be saved

	dirty  chan struct{} // holds one
	end    chan struct{}
	ended  chan struct{}
	once   sync.Once
	failed bool // the last time; of the goroutine alone, as the next
	left   int  // results that there was no room for, the last time
}

// How often is saved at the most: a killed program loses no more than that, and the
// disk is busy with it for no more than a fifth of the time.
const (
	saveEvery = time.Second
	saveShare = 4
	saveBusy  = time.Minute // what scans with a max_age have found so far
)

// Restore reads the state file and then writes cached results and port history to it until
// [Coordinator.Close]. now has the tasks of all configured targets and modules. Restore
// ignores all other state in the file. It renames an unusable file and logs a warning. The
// error is that of reading or writing the file. Call Restore once, before the first scan.
func (c *Coordinator) Restore(file string, now []scan.Task) error {
	data, err := readBounded(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case errors.Is(err, errUnusable):
		c.putAside(file, err)
	case err != nil:
		return fmt.Errorf("reading the state file: %w", err)
	default:
		if err := c.restore(data); err != nil {
			c.putAside(file, err)
		}
	}
	c.memory.reconfigured(now)
	k := &keeper{
		file: file, logger: c.options.Logger, content: c.state,
		busy:  func() bool { return len(c.sweeps()) > 0 },
		dirty: make(chan struct{}, 1), end: make(chan struct{}), ended: make(chan struct{}),
	}
	if err := k.save(); err != nil {
		return err
	}
	c.keeper = k
	go k.run()
	return nil
}

// putAside keeps a file that is of no use from being overwritten: it may be somebody
// else's, or of a later version that will be back.
func (c *Coordinator) putAside(file string, why error) {
	args := []any{"file", file, "err", why}
	if err := os.Rename(file, file+".unusable"); err != nil {
		args = append(args, "rename_err", err)
	} else {
		args = append(args, "renamed_to", file+".unusable")
	}
	c.options.Logger.Warn("Cannot use state file, starting with empty state", args...)
}

// altered has the keeper save soon.
func (k *keeper) altered() {
	if k == nil {
		return
	}
	select {
	case k.dirty <- struct{}{}:
	default: // it will be saved with what came before
	}
}

// close saves for the last time.
func (k *keeper) close() {
	if k == nil {
		return
	}
	k.once.Do(func() { close(k.end) })
	<-k.ended
}

func (k *keeper) run() {
	defer close(k.ended)
	defer k.trySave()
	busy := time.NewTicker(saveBusy)
	defer busy.Stop()
	for {
		select {
		case <-k.end:
			return
		case <-k.dirty:
		case <-busy.C:
			if !k.busy() {
				continue
			}
		}
		begun := time.Now()
		k.trySave()
		pause := time.NewTimer(max(saveEvery, saveShare*time.Since(begun)))
		select {
		case <-k.end:
			pause.Stop()
			return
		case <-pause.C:
		}
	}
}

// trySave saves, and says when that begins to fail, and when it does no more.
func (k *keeper) trySave() {
	err := k.save()
	switch {
	case err != nil && !k.failed:
		k.logger.Error("Failed to write state file", "file", k.file, "err", err)
	case err == nil && k.failed:
		k.logger.Info("Resumed writing state file", "file", k.file)
	}
	k.failed = err != nil
}

func (k *keeper) save() error {
	data, left, err := k.content()
	if err != nil {
		return err
	}
	if left > 0 && k.left == 0 {
		k.logger.Warn("Omitted cached results from state file", "file", k.file, "results", left)
	}
	k.left = left
	if err := replace(k.file, data); err != nil {
		return fmt.Errorf("writing the state file: %w", err)
	}
	return nil
}

// replace puts data into the place of the file, so that whoever reads it, after whatever
// happened, finds the old content or the new: rename(2) is atomic, and data and folder
// are on the disk before it returns.
func replace(file string, data []byte) error {
	const mine = 0o600
	next := file + ".new"
	f, err := os.OpenFile(next, os.O_WRONLY|os.O_CREATE|os.O_TRUNC, mine)
	if err != nil {
		return err
	}
	_, err = f.Write(data)
	if err == nil {
		err = f.Sync()
	}
	if err := errors.Join(err, f.Close()); err != nil {
		return errors.Join(err, os.Remove(next))
	}
	if err := os.Rename(next, file); err != nil {
		return err
	}
	if runtime.GOOS == "windows" { // folders can't be synced there
		return nil
	}
	folder, err := os.Open(filepath.Dir(file))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

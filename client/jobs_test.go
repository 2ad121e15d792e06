package client_test

import (
	"context"
	"errors"
	"io"
	"testing"
	"time"

	"tidings"
	"tidings/client"
	"tidings/pebblelog"
)

func serveEmpty(t *testing.T) (*client.Client, *pebblelog.Store) {
	t.Helper()
	store, err := pebblelog.Open(t.TempDir(), nil)
	if err != nil {
		t.Fatal(err)
	}
	return serve(t, store), store
}

func publish(t *testing.T, to tidings.Appender, jobID, eventType string) {
	t.Helper()
	if _, err := to.Append(t.Context(), jobID, tidings.Batch{Events: []tidings.Event{{Type: eventType}}}); err != nil {
		t.Fatal(err)
	}
}

func TestCreateCancelDelete(t *testing.T) {
	c, _ := serveEmpty(t)
	ctx := t.Context()
	id, err := c.Create(ctx, tidings.JobSpec{Name: "nightly", Labels: map[string]string{"a": "b"}, Metadata: []byte(`{"x":1}`)})
	if err != nil || id == "" {
		t.Fatalf("create: %q, %v", id, err)
	}
	if again, err := c.Create(ctx, tidings.JobSpec{ID: id}); err != nil || again != id {
		t.Errorf("create again: %q, %v", again, err)
	}
	job, err := c.Job(ctx, id)
	if err != nil || job.Name != "nightly" || job.Labels["a"] != "b" || job.Status != tidings.StatusQueued {
		t.Errorf("the job is %+v, %v", job, err)
	}
	if err := c.Cancel(ctx, id, "me", "enough"); err != nil {
		t.Errorf("cancel: %v", err)
	}
	if job, err = c.Job(ctx, id); err != nil || job.Cancel == nil || job.Cancel.By != "me" || job.Cancel.Reason != "enough" {
		t.Errorf("the job that was asked to stop is %+v, %v", job, err)
	}
	publish(t, c, id, tidings.TypeCancelled)
	if err := c.Cancel(ctx, id, "", ""); !isClosed(err) {
		t.Errorf("cancel of an ended job: %v", err)
	}
	if err := c.Delete(ctx, id); err != nil {
		t.Errorf("delete: %v", err)
	}
	for name, err := range map[string]error{"cancel": c.Cancel(ctx, id, "", ""), "delete": c.Delete(ctx, id)} {
		if !errors.Is(err, tidings.ErrUnknownJob) {
			t.Errorf("%s of a deleted job: %v", name, err)
		}
	}
}

func isClosed(err error) bool {
	_, ok := errors.AsType[*tidings.ClosedError](err)
	return ok
}

func TestAwaitCancelHearsOfARequestToStop(t *testing.T) {
	c, store := serveEmpty(t)
	await := func(jobID string) <-chan error {
		heard := make(chan error, 1)
		ctx, cancel := context.WithTimeout(t.Context(), 30*time.Second)
		t.Cleanup(cancel)
		go func() { heard <- c.AwaitCancel(ctx, jobID) }()
		return heard
	}

	publish(t, store, "running", tidings.TypeCustom)
	running := await("running")
	later := await("later") // which does not exist yet
	publish(t, store, "later", tidings.TypeCustom)
	publish(t, store, "ends", tidings.TypeCustom)
	ends := await("ends")

	publish(t, store, "ends", tidings.TypeDone)
	if err := <-ends; !errors.Is(err, io.EOF) {
		t.Errorf("of a job that ends: %v, want io.EOF", err)
	}
	for _, job := range []string{"running", "later"} {
		if err := c.Cancel(t.Context(), job, "", ""); err != nil {
			t.Fatal(err)
		}
	}
	if err := <-running; err != nil {
		t.Errorf("of a running job: %v", err)
	}
	if err := <-later; err != nil {
		t.Errorf("of a job that did not exist yet: %v", err)
	}
	if err := <-await("running"); err != nil {
		t.Errorf("after the request: %v", err)
	}
}

func TestHealth(t *testing.T) {
	c, _ := serveEmpty(t)
	if h, err := c.Health(t.Context()); err != nil || !h.Ready || h.Store != "pebble" {
		t.Errorf("got %+v, %v", h, err)
	}
}

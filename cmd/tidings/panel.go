package main

import (
	"tidings/app"
)

// panelFlags say whether and how people see the jobs in a browser.
type panelFlags struct {
	Panel    bool   `help:"Serve the web panel at /." default:"true" negatable:""`
	ReadOnly bool   `help:"Take no requests to stop, delete, submit or administer, from the panel or otherwise. Publishing goes on."`
	Prefix   string `help:"Serve everything beneath this path, as /tidings. A proxy that takes the path away needs no prefix here." placeholder:"PATH"`
}

func (f *panelFlags) apply(c *app.Config) {
	c.NoPanel, c.ReadOnly, c.Prefix = !f.Panel, f.ReadOnly, f.Prefix
}

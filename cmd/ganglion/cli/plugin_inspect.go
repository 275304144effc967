package cli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"text/tabwriter"

	"ganglion/plugins/abi"
	"ganglion/plugins/plugintest"
	"ganglion/plugins/trust"
	"ganglion/plugins/wasm"
)

type pluginInspectCmd struct {
	loaded
	Metering string `enum:"fuel,context" default:"fuel" help:"How runaway calls would be stopped: fuel or context."`
	JSON     bool   `name:"json" help:"As JSON."`
}

// inspection is what there is to say about a plugin's file.
type inspection struct {
	Name      string        `json:"name"`
	Version   string        `json:"version"`
	File      string        `json:"file"`
	Size      int           `json:"size"`
	Hash      string        `json:"sha256"`
	SignedBy  string        `json:"signed_by,omitempty"`
	Signature string        `json:"signature"` // none, holds, or what is wrong with it
	Metering  wasm.Metering `json:"metering"`
	Manifest  *abi.Manifest `json:"manifest"`
	Wants     []string      `json:"wants"`
	Refused   string        `json:"configuration_refused,omitempty"`
	Memory    int64         `json:"memory_bytes"` // of an instance that has seen nothing
	MemoryMax int64         `json:"memory_max_bytes"`
	Exports   []string      `json:"exports"`
	Imports   []string      `json:"imports"`
	Sections  []string      `json:"sections"`
}

// Run prints what the file is. A plugin that refuses its configuration is shown
// as well: what it wants is not known then.
func (c *pluginInspectCmd) Run(env *environment) error {
	file, config, err := c.read()
	if err != nil {
		return err
	}
	i := &inspection{File: c.File, Signature: "none"}
	key, signed, err := trust.Verify(file)
	switch {
	case err != nil:
		i.Signature = err.Error()
	case signed:
		i.SignedBy, i.Signature = key, "holds"
	}
	metering := wasm.Metering(c.Metering)
	p, err := plugintest.Open(env.ctx, file, plugintest.Config{JSON: config, Metering: metering, AsWanted: true})
	if errors.Is(err, wasm.ErrModule) {
		return fmt.Errorf("%s: %w", c.File, err)
	}
	var m *wasm.Module
	if err != nil {
		i.Refused = err.Error()
		host := wasm.NewHost(wasm.HostOptions{Metering: metering})
		defer host.Close()
		if m, err = host.Compile(env.ctx, file, wasm.Limits{}); err != nil {
			return fmt.Errorf("%s: %w", c.File, err)
		}
		defer m.Close()
	} else {
		defer p.Close()
		m = p.Pool().Module()
		i.Wants, i.Memory = wants(p.Pool().Want()), p.Pool().Stats().Memory
	}
	i.Name, i.Version, i.Manifest = m.Manifest.Name, m.Manifest.Version, m.Manifest
	i.Size, i.Hash, i.Metering, i.MemoryMax = m.Size, m.Hash, m.Metering, m.Limits.Memory
	i.Exports, i.Imports, i.Sections = slices.Sorted(slices.Values(m.Exports)), slices.Compact(slices.Sorted(slices.Values(m.Imports))), m.Sections
	if c.JSON {
		e := json.NewEncoder(env.stdout)
		e.SetIndent("", "  ")
		e.SetEscapeHTML(false)
		return e.Encode(i)
	}
	return i.print(env.stdout)
}

// wants are the bits of w by name.
func wants(w abi.Want) []string {
	list := []string{}
	for i, name := range []string{"subject", "reply", "headers", "payload", "facts"} {
		if w&(1<<i) != 0 {
			list = append(list, name)
		}
	}
	if rest := w &^ abi.WantAll; rest != 0 {
		list = append(list, fmt.Sprintf("%#x, which this version does not know", int64(rest)))
	}
	return list
}

func (i *inspection) print(out io.Writer) error {
	w := tabwriter.NewWriter(out, 0, 8, 2, ' ', 0)
	row := func(name, format string, args ...any) { fmt.Fprintf(w, "%s\t%s\n", name, fmt.Sprintf(format, args...)) }
	list := func(name string, s []string) {
		text := "none"
		if len(s) > 0 {
			text = oneLine(strings.Join(s, ", "))
		}
		row(name, "%s", text)
	}
	m := i.Manifest
	row("name", "%s", i.Name)
	row("version", "%s", oneLine(i.Version))
	if m.Description != "" {
		row("description", "%s", oneLine(m.Description))
	}
	row("file", "%s, %d bytes", oneLine(i.File), i.Size)
	row("sha256", "%s", i.Hash)
	switch i.Signature {
	case "none":
		row("signature", "none")
	case "holds":
		row("signature", "by %s", i.SignedBy)
	default:
		row("signature", "%s", i.Signature)
	}
	row("metering", "%s", i.Metering)
	if i.Refused != "" {
		row("wants", "not known, it refuses its configuration: %s", oneLine(i.Refused))
		row("memory", "at most %s", size(i.MemoryMax))
	} else {
		list("wants", i.Wants)
		row("memory", "%s, at most %s", size(i.Memory), size(i.MemoryMax))
	}
	for _, b := range m.Bindings {
		text := b.Boundary
		if len(b.Subjects) > 0 {
			text += " " + strings.Join(b.Subjects, ", ")
		}
		if len(b.PublishTo) > 0 {
			text += "; replaced by " + strings.Join(b.PublishTo, ", ")
		}
		if b.Order != 0 {
			text += fmt.Sprintf("; order %d", b.Order)
		}
		row("binding", "%s", oneLine(text))
	}
	if len(m.Bindings) == 0 {
		row("binding", "none; the broker's configuration must have some")
	}
	list("emits to", m.Emit)
	if m.KV > 0 {
		row("keeps", "%s", size(m.KV))
	}
	if m.Clock {
		row("clock", "yes")
	}
	list("exports", i.Exports)
	list("imports", i.Imports)
	list("sections", i.Sections)
	return w.Flush()
}

// size is n bytes for people.
func size(n int64) string {
	switch {
	case n >= 1<<20 && n%(1<<20) == 0:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<10 && n%(1<<10) == 0:
		return fmt.Sprintf("%d KiB", n>>10)
	}
	if n == 1 {
		return "1 byte"
	}
	return fmt.Sprintf("%d bytes", n)
}

// oneLine returns text of a plugin's as a terminal can be given it.
func oneLine(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r >= 0x7f && r < 0xa0 {
			return '?'
		}
		return r
	}, strings.ToValidUTF8(s, "?"))
}

// Package sdk holds what authors of plugins build with: a file or a few for each
// language that ABI version 1 (plugins/abi) is spoken in, and a template of a
// plugin. New writes both into a new directory, so that a plugin builds without
// this repository.
package sdk

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"strings"
)

//go:embed go/doc.go go/plugin.go go/message.go go/host.go go/host_other.go go/host_wasip1.go go/guest_wasip1.go go/template
//go:embed c/ganglion.h c/template
//go:embed rust/ganglion.rs rust/template
//go:embed assemblyscript/ganglion.ts assemblyscript/template
var files embed.FS

// sources are where a language's SDK goes in a project.
var sources = map[string]string{"go": "ganglion", "c": ".", "rust": ".", "assemblyscript": "."}

// Languages are those that New knows.
func Languages() []string { return []string{"assemblyscript", "c", "go", "rust"} }

// New writes a plugin called name into dir, which it makes when it isn't there:
// source, what builds it, and the SDK. name is up to 64 letters, digits, '-' and
// '_', the first of them a letter. No file that exists is written over; the error
// names the first that would be, and nothing is written then.
func New(lang, name, dir string) error {
	to, ok := sources[lang]
	if !ok {
		return fmt.Errorf("language %q; use one of %s", lang, strings.Join(Languages(), ", "))
	}
	if !validName(name) {
		return fmt.Errorf("name %q; use up to 64 letters, digits, '-' and '_', a letter first", name)
	}
	type file struct {
		path string
		text []byte
	}
	var list []file
	err := fs.WalkDir(files, lang, func(p string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		text, err := files.ReadFile(p)
		if err != nil {
			return err
		}
		out := path.Join(to, path.Base(p))
		if rest, ok := strings.CutPrefix(p, lang+"/template/"); ok {
			out = strings.TrimSuffix(rest, ".tmpl")
			text = []byte(strings.ReplaceAll(string(text), "{{name}}", name))
		}
		list = append(list, file{filepath.Join(dir, filepath.FromSlash(out)), text})
		return nil
	})
	if err != nil {
		return fmt.Errorf("reading the template for %s: %w", lang, err)
	}
	if i := slices.IndexFunc(list, func(f file) bool { _, err := os.Lstat(f.path); return !errors.Is(err, fs.ErrNotExist) }); i >= 0 {
		return fmt.Errorf("%s is there already; use another directory", list[i].path)
	}
	for _, f := range list {
		if err := os.MkdirAll(filepath.Dir(f.path), 0o755); err != nil {
			return fmt.Errorf("making the project: %w", err)
		}
		if err := write(f.path, f.text); err != nil {
			return fmt.Errorf("making the project: %w", err)
		}
	}
	return nil
}

// write makes a file, which must not exist.
func write(name string, text []byte) error {
	f, err := os.OpenFile(name, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o644)
	if err != nil {
		return err
	}
	_, err = f.Write(text)
	return errors.Join(err, f.Close())
}

func validName(s string) bool {
	for i, c := range s {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || !(c >= '0' && c <= '9' || c == '-' || c == '_')) {
			return false
		}
	}
	return s != "" && len(s) <= 64
}

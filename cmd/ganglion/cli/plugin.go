package cli

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/nats-io/nkeys"

	"ganglion/plugins/plugintest"
	"ganglion/plugins/sdk"
	"ganglion/plugins/trust"
	"ganglion/plugins/wasm"
)

type pluginCmd struct {
	New     pluginNewCmd     `cmd:"" help:"Begin a plugin: source, SDK and what builds them, in a new directory."`
	Inspect pluginInspectCmd `cmd:"" help:"Show what a plugin is, wants and may use."`
	Run     pluginRunCmd     `cmd:"" help:"Show a plugin a message, or a recording, and print what becomes of it."`
	Bench   pluginBenchCmd   `cmd:"" help:"Measure what a plugin costs per message."`
	Sign    pluginSignCmd    `cmd:"" help:"Sign a plugin with an nkey."`
	Verify  pluginVerifyCmd  `cmd:"" help:"Check a plugin's signature."`
}

type pluginNewCmd struct {
	Lang string `arg:"" help:"go, rust, c or assemblyscript."`
	Name string `arg:"" help:"Name of the plugin: letters, digits, - and _."`
	Dir  string `help:"Directory to make it in (default: the name)."`
}

// Run writes the project.
func (c *pluginNewCmd) Run(env *environment) error {
	dir := c.Dir
	if dir == "" {
		dir = c.Name
	}
	if err := sdk.New(c.Lang, c.Name, dir); err != nil {
		return fmt.Errorf("new: %w", err)
	}
	fmt.Fprintf(env.stdout, "Made %s. Build it with make there, and put %s.wasm into the broker's plugins directory.\n", dir, c.Name)
	return nil
}

type pluginSignCmd struct {
	File string `arg:"" help:"The plugin."`
	Key  string `required:"" placeholder:"SEEDFILE" help:"File with the seed of an nkey (S...) of a user, account, operator or server."`
	Out  string `help:"Where to write the signed plugin (default: in place)."`
}

// Run signs the file.
func (c *pluginSignCmd) Run(env *environment) error {
	module, err := readFile(c.File)
	if err != nil {
		return err
	}
	pair, err := readSeed(c.Key)
	if err != nil {
		return err
	}
	defer pair.Wipe()
	signed, err := trust.Sign(module, pair)
	switch {
	case errors.Is(err, trust.ErrKey):
		return fmt.Errorf("--key %s: %w", c.Key, err)
	case err != nil:
		return fmt.Errorf("%s: %w", c.File, err)
	}
	out := c.Out
	if out == "" {
		out = c.File
	}
	if err := replaceFile(out, signed); err != nil {
		return fmt.Errorf("--out %s: %w", out, err)
	}
	key, err := pair.PublicKey()
	if err != nil {
		return fmt.Errorf("--key %s: %w", c.Key, err)
	}
	fmt.Fprintf(env.stdout, "%s is signed by %s\nsha256 %s\n", out, key, trust.Hash(signed))
	return nil
}

// readSeed reads a file with a seed, alone or among other lines.
func readSeed(name string) (nkeys.KeyPair, error) {
	b, err := os.ReadFile(name)
	if err != nil {
		return nil, fmt.Errorf("--key: %w", err)
	}
	defer clear(b)
	for line := range bytes.Lines(b) {
		if pair, err := nkeys.FromSeed(bytes.TrimSpace(line)); err == nil {
			return pair, nil
		}
	}
	return nil, fmt.Errorf("--key %s holds no seed of an nkey; it must have a line that begins with SU, SA, SO or SN (a public key can't sign)", name)
}

// replaceFile writes a file that a broker may look at meanwhile: it sees the old
// one or the new one.
func replaceFile(name string, b []byte) error {
	if to, err := filepath.EvalSymlinks(name); err == nil {
		name = to
	}
	mode := fs.FileMode(0o644)
	if st, err := os.Stat(name); err == nil {
		mode = st.Mode().Perm()
	}
	f, err := os.CreateTemp(filepath.Dir(name), ".signing-*")
	if err != nil {
		return err
	}
	_, err = f.Write(b)
	if err = errors.Join(err, f.Chmod(mode), f.Sync(), f.Close()); err == nil {
		err = os.Rename(f.Name(), name)
	}
	if err != nil {
		os.Remove(f.Name())
	}
	return err
}

type pluginVerifyCmd struct {
	File    string   `arg:"" help:"The plugin."`
	Trusted []string `placeholder:"KEY" help:"Public nkeys, one of which must have signed; may be given again."`
}

// Run fails unless there is a signature that holds, by a trusted key when there are
// any.
func (c *pluginVerifyCmd) Run(env *environment) error {
	for _, k := range c.Trusted {
		if err := trust.CheckKey(k); err != nil {
			return fmt.Errorf("--trusted: %w", err)
		}
	}
	module, err := readFile(c.File)
	if err != nil {
		return err
	}
	key, signed, err := trust.Verify(module)
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", c.File, err)
	case !signed:
		return fmt.Errorf("%s is not signed; ganglion plugin sign does that", c.File)
	case len(c.Trusted) > 0 && !slices.Contains(c.Trusted, key):
		return fmt.Errorf("%s is signed by %s, which is none of --trusted %s", c.File, key, strings.Join(c.Trusted, ","))
	}
	fmt.Fprintf(env.stdout, "%s is signed by %s\nsha256 %s\n", c.File, key, trust.Hash(module))
	return nil
}

// loaded is the flags of what starts a plugin.
type loaded struct {
	File   string `arg:"" help:"The plugin, a .wasm file."`
	Config string `placeholder:"JSON" help:"Its configuration, a JSON object; @FILE reads one."`
}

// read returns the module and the configuration.
func (l *loaded) read() (module []byte, config string, err error) {
	if module, err = readFile(l.File); err != nil {
		return nil, "", err
	}
	config = l.Config
	if name, ok := strings.CutPrefix(config, "@"); ok {
		b, err := os.ReadFile(name)
		if err != nil {
			return nil, "", fmt.Errorf("--config: %w", err)
		}
		config = string(b)
	}
	return module, config, nil
}

// open starts the plugin with all that its manifest wants, as the broker does when
// its configuration says nothing.
func (l *loaded) open(ctx context.Context, c plugintest.Config) (*plugintest.Plugin, error) {
	module, config, err := l.read()
	if err != nil {
		return nil, err
	}
	c.JSON, c.AsWanted = config, true
	p, err := plugintest.Open(ctx, module, c)
	switch {
	case errors.Is(err, wasm.ErrModule):
		return nil, fmt.Errorf("%s: %w", l.File, err)
	case err != nil && l.Config == "":
		return nil, fmt.Errorf("%s: %w; it may need a configuration (--config)", l.File, err)
	case err != nil:
		return nil, fmt.Errorf("%s does not take --config %.80s: %w", l.File, l.Config, err)
	}
	return p, nil
}

// readFile reads a plugin's file, which is no larger than the broker's default
// allows.
func readFile(name string) ([]byte, error) {
	st, err := os.Stat(name)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%w; give the path of a .wasm file", err)
	case !st.Mode().IsRegular():
		return nil, fmt.Errorf("%s is no file; give the path of a .wasm file", name)
	case st.Size() > wasm.DefaultModule:
		return nil, fmt.Errorf("%s has %d bytes; plugins may have %d", name, st.Size(), wasm.DefaultModule)
	}
	return os.ReadFile(name)
}

// Ganglion is an edge gateway broker that speaks the NATS protocol: a server, and
// the tools to try it, in one program.
package main

import (
	"context"
	"fmt"
	"os"
	"os/signal"
	"runtime/debug"

	"ganglion/cmd/ganglion/cli"
	"ganglion/cmd/ganglion/config"
	"ganglion/cmd/ganglion/daemon"
	"ganglion/core/wire"
)

// version is our own version.
const version = "0.1.0"

func main() { os.Exit(run(os.Args[1:])) }

func run(args []string) int {
	if len(args) > 0 && cli.Is(args[0]) {
		ctx, cancel := signal.NotifyContext(context.Background(), os.Interrupt)
		defer cancel()
		return cli.Run(ctx, args, os.Stdin, os.Stdout, os.Stderr)
	}
	cmd, err := config.Parse(args, os.Stderr)
	if err != nil {
		return fail(err)
	}
	switch cmd.Action {
	case config.Help:
		fmt.Print(config.Usage)
	case config.HelpTLS:
		fmt.Print(config.UsageTLS())
	case config.Version:
		fmt.Printf("ganglion: v%s (compatible with nats-server v%s)\n", version, wire.Version)
	case config.Test:
		fmt.Fprintf(os.Stderr, "ganglion: configuration file %s is valid (%s)\n", cmd.Config.File, cmd.Config.Broker.ConfigDigest())
	case config.Signal:
		if err := daemon.Signal(cmd.Signal); err != nil {
			return fail(err)
		}
	default:
		d, err := daemon.Start(context.Background(), cmd, version, commit())
		if err != nil {
			return fail(err)
		}
		if cmd.Config.Log.File == "" {
			d.Banner(os.Stderr)
		}
		d.Wait(context.Background())
	}
	return 0
}

func fail(err error) int {
	fmt.Fprintln(os.Stderr, "ganglion:", err)
	return 1
}

// commit returns the revision that the program was built from, shortened.
func commit() string {
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return ""
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" {
			return s.Value[:min(7, len(s.Value))]
		}
	}
	return ""
}

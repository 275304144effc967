//go:build !linux

package main

import (
	"context"
	"errors"
	"runtime"
	"time"
)

func processCPU(int) (time.Duration, error) { return 0, errors.ErrUnsupported }
func machineCPU() (time.Duration, error)    { return 0, errors.ErrUnsupported }
func processRSS(int) (int64, error)         { return 0, errors.ErrUnsupported }
func pinSelf(int) error                     { return errors.ErrUnsupported }
func onCore(int, func() error) error        { return errors.ErrUnsupported }
func raiseFiles() (uint64, error)           { return 0, errors.ErrUnsupported }
func nap(d time.Duration)                   { time.Sleep(d) }
func kernel() string                        { return runtime.GOOS }
func cpuModel() string                      { return runtime.GOARCH }

func startProbe(context.Context) <-chan float64 { return nil }

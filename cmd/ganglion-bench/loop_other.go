//go:build !linux

package main

import "errors"

func (s *session) attach(...*conn) error { return errors.ErrUnsupported }

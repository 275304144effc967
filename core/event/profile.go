package event

import (
	"bytes"
	"fmt"
	"runtime/pprof"
	"time"
)

// maxProfile is how long the processor is watched at most.
const maxProfile = 15 * time.Second

type profileOptions struct {
	Name     string        `json:"name"`
	Debug    int           `json:"debug"`
	Duration time.Duration `json:"duration"` // of "cpu", nanoseconds; 0 is a second
}

// profile is the answer to PROFILEZ.
type profile struct {
	Profile []byte `json:"profile"`
	Error   string `json:"error"`
}

// profile takes the profile asked for. Requests for profiles wait for each other.
func (s *Service) profile(o *profileOptions) *profile {
	var b bytes.Buffer
	switch o.Name {
	case "":
		return &profile{Error: "Profile name not specified"}
	case "cpu":
		if err := pprof.StartCPUProfile(&b); err != nil {
			return &profile{Error: fmt.Sprintf("Profile %q failed: %v", o.Name, err)}
		}
		d := o.Duration
		if d <= 0 {
			d = time.Second
		}
		t := time.NewTimer(min(d, maxProfile))
		select {
		case <-t.C:
		case <-s.stop:
			t.Stop()
		}
		pprof.StopCPUProfile()
	default:
		p := pprof.Lookup(o.Name)
		if p == nil {
			return &profile{Error: fmt.Sprintf("Profile %q not found", o.Name)}
		}
		if err := p.WriteTo(&b, o.Debug); err != nil {
			return &profile{Error: fmt.Sprintf("Profile %q failed: %v", o.Name, err)}
		}
	}
	return &profile{Profile: b.Bytes()}
}

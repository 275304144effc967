package monitor

import (
	"fmt"
	"time"
)

// Uptime writes d as nats-server's monitoring does: whole seconds, the largest
// unit first, e.g. "1y2d3h4m5s".
func Uptime(d time.Duration) string {
	s := int64(d / time.Second)
	m, h := s/60, s/3600
	days := h / 24
	switch years := days / 365; {
	case years > 0:
		return fmt.Sprintf("%dy%dd%dh%dm%ds", years, days%365, h%24, m%60, s%60)
	case days > 0:
		return fmt.Sprintf("%dd%dh%dm%ds", days, h%24, m%60, s%60)
	case h > 0:
		return fmt.Sprintf("%dh%dm%ds", h, m%60, s%60)
	case m > 0:
		return fmt.Sprintf("%dm%ds", m, s%60)
	}
	return fmt.Sprintf("%ds", s)
}

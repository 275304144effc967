package operator

import (
	"fmt"
	"time"

	"github.com/nats-io/jwt/v2"
)

// hours returns the end of the range of a user's allowed hours that now is in,
// or ErrHours. locale names the time zone; "" is the server's. A range whose end
// is not after its start goes over midnight.
func hours(ranges []jwt.TimeRange, locale string, now time.Time) (time.Time, error) {
	zone := time.Local
	if locale != "" {
		var err error
		if zone, err = time.LoadLocation(locale); err != nil {
			return time.Time{}, fmt.Errorf("%w: the time zone %.60q is unknown", ErrMalformed, locale)
		}
	}
	now = now.In(zone)
	for _, r := range ranges {
		start, err := time.Parse(time.TimeOnly, r.Start)
		if err != nil {
			return time.Time{}, fmt.Errorf("%w: the time %.20q is not of the form 15:04:05", ErrMalformed, r.Start)
		}
		end, err := time.Parse(time.TimeOnly, r.End)
		if err != nil {
			return time.Time{}, fmt.Errorf("%w: the time %.20q is not of the form 15:04:05", ErrMalformed, r.End)
		}
		// A range over midnight may have begun yesterday.
		for day := -1; day <= 0; day++ {
			from, to := at(now, day, start), at(now, day, end)
			if !to.After(from) {
				to = at(now, day+1, end)
			}
			if !now.Before(from) && now.Before(to) {
				return to, nil
			}
		}
	}
	return time.Time{}, fmt.Errorf("%w at %s", ErrHours, now.Format(time.TimeOnly))
}

// at returns the time of day clock on the day of now, or days after.
func at(now time.Time, days int, clock time.Time) time.Time {
	y, m, d := now.Date()
	return time.Date(y, m, d+days, clock.Hour(), clock.Minute(), clock.Second(), 0, now.Location())
}

package client

import "log/slog"

// LevelTrace is the level of protocol traces (-V), below slog.LevelDebug.
const LevelTrace = slog.LevelDebug - 4

package config

import (
	"net/netip"
	"time"
)

// topKeys are the keys at the top of the file. A nil entry is a key that
// nats-server has and Ganglion does not have yet.
var topKeys = map[string]key{
	"listen":           address(func(c *Config) *string { return &c.Host }, func(c *Config) *int { return &c.Port }),
	"port":             port(func(c *Config) *int { return &c.Port }),
	"host":             str(func(c *Config) *string { return &c.Host }),
	"net":              str(func(c *Config) *string { return &c.Host }),
	"client_advertise": str(func(c *Config) *string { return &c.Broker.ClientAdvertise }),
	"server_name":      str(func(c *Config) *string { return &c.Broker.ServerName }),
	"server_tags":      stringList(func(c *Config) *[]string { return &c.Broker.Tags }),
	"server_metadata":  stringMap(func(c *Config) *map[string]string { return &c.Broker.Metadata }),

	"debug":                   boolean(func(c *Config) *bool { return &c.Log.Debug }),
	"trace":                   boolean(func(c *Config) *bool { return &c.Log.Trace }),
	"trace_verbose":           boolean(func(c *Config) *bool { return &c.Log.Trace }),
	"trace_headers":           nil,
	"logtime":                 boolean(func(c *Config) *bool { return &c.Log.Time }),
	"logtime_utc":             boolean(func(c *Config) *bool { return &c.Log.UTC }),
	"logfile":                 str(func(c *Config) *string { return &c.Log.File }),
	"log_file":                str(func(c *Config) *string { return &c.Log.File }),
	"logfile_size_limit":      integer(func(c *Config) *int64 { return &c.Log.SizeLimit }, 0),
	"log_size_limit":          integer(func(c *Config) *int64 { return &c.Log.SizeLimit }, 0),
	"logfile_max_num":         integer(func(c *Config) *int { return &c.Log.MaxFiles }, 0),
	"log_max_num":             integer(func(c *Config) *int { return &c.Log.MaxFiles }, 0),
	"log_format":              logFormat, // ours
	"syslog":                  nil,
	"remote_syslog":           nil,
	"max_traced_msg_len":      integer(func(c *Config) *int { return &c.Broker.MaxTraced }, 0),
	"pidfile":                 str(func(c *Config) *string { return &c.PidFile }),
	"pid_file":                str(func(c *Config) *string { return &c.PidFile }),
	"ports_file_dir":          str(func(c *Config) *string { return &c.PortsFileDir }),
	"prof_port":               port(func(c *Config) *int { return &c.ProfPort }),
	"prof_block_rate":         nil,
	"http":                    address(func(c *Config) *string { return &c.HTTPHost }, func(c *Config) *int { return &c.HTTPPort }),
	"http_port":               port(func(c *Config) *int { return &c.HTTPPort }),
	"monitor_port":            port(func(c *Config) *int { return &c.HTTPPort }),
	"http_base_path":          str(func(c *Config) *string { return &c.HTTPBasePath }),
	"https":                   address(func(c *Config) *string { return &c.HTTPHost }, func(c *Config) *int { return &c.HTTPSPort }),
	"https_port":              port(func(c *Config) *int { return &c.HTTPSPort }),
	"monitor":                 monitorBlock, // ours
	"connect_error_reports":   nil,
	"reconnect_error_reports": nil,
	"max_closed_clients":      integer(func(c *Config) *int { return &c.Broker.MaxClosed }, 0),

	"max_connections":         integer(func(c *Config) *int { return &c.Broker.MaxConnections }, -1),
	"max_conn":                integer(func(c *Config) *int { return &c.Broker.MaxConnections }, -1),
	"max_subscriptions":       integer(func(c *Config) *int { return &c.Broker.MaxSubscriptions }, -1),
	"max_subs":                integer(func(c *Config) *int { return &c.Broker.MaxSubscriptions }, -1),
	"max_subscription_tokens": integer(func(c *Config) *int { return &c.Broker.MaxSubTokens }, 1),
	"max_sub_tokens":          integer(func(c *Config) *int { return &c.Broker.MaxSubTokens }, 1),
	"max_control_line":        integer(func(c *Config) *int { return &c.Broker.MaxControlLine }, 1),
	"max_payload":             integer(func(c *Config) *int { return &c.Broker.MaxPayload }, 1),
	"max_pending":             integer(func(c *Config) *int64 { return &c.Broker.MaxPending }, 1),
	"max_pending_total":       integer(func(c *Config) *int64 { return &c.Broker.MaxPendingTotal }, -1), // ours
	"write_deadline":          duration(func(c *Config) *time.Duration { return &c.Broker.WriteDeadline }, 0),
	"write_timeout":           nil,
	"ping_interval":           duration(func(c *Config) *time.Duration { return &c.Broker.PingInterval }, 0),
	"ping_max":                integer(func(c *Config) *int { return &c.Broker.PingMax }, 0),
	"lame_duck_duration":      duration(func(c *Config) *time.Duration { return &c.Broker.LameDuckDuration }, minLameDuck),
	"lame_duck_grace_period":  duration(func(c *Config) *time.Duration { return &c.Broker.LameDuckGrace }, 0),
	"no_header_support":       boolean(func(c *Config) *bool { return &c.Broker.NoHeaders }),
	"no_fast_producer_stall":  boolean(func(c *Config) *bool { return &c.Broker.NoFastProducerStall }),
	"disable_sublist_cache":   nil,
	"no_sublist_cache":        nil,
	"feature_flags":           nil,
	"default_js_domain":       nil,
	"no_system_account":       nil,

	"rate_limits":   rateLimits,   // ours
	"plugins":       pluginsBlock, // ours
	"authorization": table(authKeys),
	"mappings":      mappings,
	"maps":          mappings,

	"tls":                 tlsBlock(func(c *Config) *TLS { return &c.TLS }),
	"allow_non_tls":       boolean(func(c *Config) *bool { return &c.AllowNonTLS }),
	"quic":                quicBlock,         // ours
	"webtransport":        webTransportBlock, // ours
	"websocket":           websocketBlock,
	"ws":                  websocketBlock,
	"proxy_protocol":      boolean(func(c *Config) *bool { return &c.ProxyProtocol }),
	"proxy_protocol_from": prefixes(func(c *Config) *[]netip.Prefix { return &c.ProxyFrom }), // ours
	"listeners":           listenersBlock,                                                    // ours
	"domain":              str(func(c *Config) *string { return &c.Domain }),                 // ours

	"jetstream": falseOnly,
	"proxies":   nil, "ocsp": nil, "ocsp_cache": nil,

	"accounts":         accountsBlock,
	"no_auth_user":     str(func(c *Config) *string { return &c.Broker.Auth.NoAuthUser }),
	"default_sentinel": str(func(c *Config) *string { return &c.Broker.Auth.DefaultSentinel }),
	"system_account":   str(func(c *Config) *string { return &c.Broker.SystemAccount }),
	"system":           str(func(c *Config) *string { return &c.Broker.SystemAccount }),
	"operator":         operators, "operators": operators, "root": operators, "roots": operators, "root_operator": operators, "root_operators": operators,
	"resolver": resolver, "account_resolver": resolver,
	"resolver_tls":             tlsClient(func(c *Config) *TLS { return &c.Operator.TLS }),
	"resolver_preload":         stringMap(func(c *Config) *map[string]string { return &c.Operator.Preload }),
	"resolver_pinned_accounts": stringList(func(c *Config) *[]string { return &c.Operator.Pinned }),
	"trusted_keys":             stringList(func(c *Config) *[]string { return &c.Operator.Trusted }),
	"trusted":                  stringList(func(c *Config) *[]string { return &c.Operator.Trusted }),
	"leafnodes":                leafBlock, "leaf": leafBlock,
	"cluster": nil, "gateway": nil, "store_dir": nil,
	"mqtt": nil,
	// Blocks of ours that are announced and not built yet.
	"console": nil, "prometheus": nil,
}

// authKeys are the keys of authorization { }.
var authKeys = map[string]key{
	"user":                str(func(c *Config) *string { return &c.Broker.Auth.User }),
	"username":            str(func(c *Config) *string { return &c.Broker.Auth.User }),
	"pass":                str(func(c *Config) *string { return &c.Broker.Auth.Password }),
	"password":            str(func(c *Config) *string { return &c.Broker.Auth.Password }),
	"password_file":       secretFile(func(c *Config) *string { return &c.Broker.Auth.Password }), // ours
	"token":               str(func(c *Config) *string { return &c.Broker.Auth.Token }),
	"token_file":          secretFile(func(c *Config) *string { return &c.Broker.Auth.Token }), // ours
	"timeout":             seconds(func(c *Config) *time.Duration { return &c.Broker.Auth.Timeout }),
	"users":               authUsers,
	"default_permissions": defaultPermissions, "permissions": defaultPermissions,
	"auth_callout": authCallout, "auth_hook": authCallout, "proxy_required": falseOnly,
}

func logFormat(c *Config, name string, t token, v any) error {
	if v != "text" && v != "json" {
		return errorAt(t, "%s is %v; it must be \"text\" or \"json\"", name, v)
	}
	c.Log.Format = v.(string)
	return nil
}

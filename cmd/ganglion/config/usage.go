package config

// Usage is what --help prints of the server's flags.
const Usage = `Usage: ganglion [flags]              run the server
       ganglion COMMAND [flags]      sub, pub, req, reply, rtt, bench (see ganglion COMMAND --help)

Server:
    -a, --addr, --net HOST           bind to HOST (default 0.0.0.0)
    -p, --port PORT                  client port (default 4222, -1 a free one)
    -n, --name, --server_name NAME   server name (default its id)
    -P, --pid FILE                   write the process id to FILE
    -m, --http_port PORT             monitoring: /varz /connz /subsz /healthz /metrics
    -c, --config FILE                configuration file
    -t                               check the configuration and exit
    -sl, --signal COMMAND[=PID]      ldm | stop | quit | term | reopen | reload; PID or a pid file
        --client_advertise ADDR      what clients are told as the server's address
        --ports_file_dir DIR         write the ports in use to DIR
        --profile PORT               serve /debug/pprof

Logging:
    -l, --log FILE                   log to FILE
    -T, --logtime                    with time stamps (default true)
        --logtime_utc                in UTC
    -D, --debug                      debug
    -V, --trace                      trace the protocol
    -DV                              both
    -VV, -DVV                        as -V and -DV
        --log_size_limit BYTES       rotate the log file at this size
        --max_traced_msg_len BYTES   trace no more of a payload

Authorization:
        --user USER --pass PASSWORD  required of clients
        --auth TOKEN                 required of clients

    -h, --help                       this text
    -v, --version                    the version
`

package config

// Usage is what --help prints of the server's flags.
const Usage = `Usage: ganglion [flags]              run the server
       ganglion COMMAND [flags]      sub, pub, req, reply, rtt, bench, cert, plugin (see ganglion COMMAND --help)

Server:
    -a, --addr, --net HOST           bind to HOST (default 0.0.0.0)
    -p, --port PORT                  client port (default 4222, -1 a free one)
    -n, --name, --server_name NAME   server name (default its id)
    -P, --pid FILE                   write the process id to FILE
    -m, --http_port PORT             monitoring: /varz /connz /subsz /healthz /metrics
        --ws PORT                    WebSocket without TLS, and a page to try it; same origin only
        --quic PORT                  QUIC and WebTransport on this UDP port, with the TLS of the
                                     client port, or of a CA of our own
        --plugins DIR                where plugins (*.wasm) are dropped; ./plugins if it exists
    -ms, --https_port PORT           monitoring under TLS
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

TLS:
        --domain NAME                TLS everywhere under a certificate for NAME from Let's Encrypt:
                                     4222, and wss with a page on 443; 80 and 443 must reach us
        --email ADDRESS              where the CA may write to
        --https-port PORT            instead of 443, with --domain
        --http-port PORT             instead of 80, for the CA's challenges
        --tls                        TLS on the client port, with
        --tlscert FILE --tlskey FILE   this certificate and key
        --tlsverify                  clients must show a certificate
        --tlscacert FILE               issued by one of these
        --help_tls                   what tls { } blocks may say

Authorization:
        --user USER --pass PASSWORD  required of clients
        --auth TOKEN                 required of clients

    -h, --help                       this text
    -v, --version                    the version
`

// Why a broker ends a connection: the codes of listeners/quic/doc.go.

const firstReason = 0x100;

/** own are the codes of the listener. */
const own = ["Closed", "No Preamble", "Preamble Timeout", "Too Many Connections", "Listener Closed"];

/** reasons are what monitoring calls the others, from 0x101 on. */
const reasons = [
  "Client Closed", "Authentication Timeout", "Authentication Failure", "Authentication Expired", "TLS Handshake Failure",
  "Slow Consumer (Pending Bytes)", "Slow Consumer (Write Deadline)", "Write Error", "Read Error", "Parse Error", "Stale Connection",
  "Protocol Violation", "Bad Client Protocol Version", "Incorrect Port", "Maximum Connections Exceeded",
  "Maximum Account Connections Exceeded", "Maximum Message Payload Exceeded", "Maximum Control Line Exceeded",
  "Maximum Subscriptions Exceeded", "Server Shutdown", "Missing Account", "Credentials Revoked", "Message Header Violation",
  "No Responders Requires Headers", "Kicked", "Rate Limit Exceeded", "Lane Done", "Duplicate Remote LeafNode Connection",
];

/** codeText names a code. */
export function codeText(code: number): string {
  return (code < firstReason ? own[code] : reasons[code - firstReason - 1]) ?? `closed by the broker with code 0x${code.toString(16)}`;
}

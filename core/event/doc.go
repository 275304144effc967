// Package event is what the system account says: it answers the requests of
// $SYS.REQ.> with nats-server's JSON, and publishes its events and advisories
// ($SYS.ACCOUNT.*.CONNECT, $SYS.SERVER.*.STATSZ and so on).
//
// Who asks decides what is told, and who asks is known from the session that the
// message came from, never from what the message says: its headers and body are
// the client's own. Ordinary accounts reach the services by imports (Imports),
// which put the account's name into the subject.
package event

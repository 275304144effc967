// What nats.js has beyond the NATS client: WebTransport.
export { connectEdge, discover, transportOf, type EdgeOptions, type Finder, type TransportName } from "./edge";
export { OpSplitter } from "./ops";
export { WebTransportLink, type Events, type Place } from "./webtransport";

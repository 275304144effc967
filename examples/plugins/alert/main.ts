// alert watches a number in JSON payloads and publishes an alert when it leaves its
// bounds, and another when it is back. The messages themselves pass. The
// configuration:
//
//   {"field": "temp.value", "above": 80, "below": -10, "to": "alerts"}
//
//   plant.7 {"temp":{"value":91.5}}
//     -> alerts.plant.7 {"subject":"plant.7","field":"temp.value","value":91.5,"state":"above","bound":80}
//   plant.7 {"temp":{"value":70}}
//     -> alerts.plant.7 {"subject":"plant.7","field":"temp.value","value":70,"state":"ok"}
//
// One of above and below may be left out; to is "alerts" if nothing is said. What
// state a subject is in is in the plugin's store, so that all instances know it. When
// that is full, further subjects alert with every message.

import {
  Bytes, Level, Message, PASS, Verdict, Want, Writer, configString, emit, json, kvDelete, kvGet, kvSet, log,
  metricAdd, onConfigure, register,
} from "../../../plugins/sdk/assemblyscript/ganglion";
export {
  ganglion_abi_v1, ganglion_manifest, ganglion_alloc, ganglion_configure, ganglion_on_message,
} from "../../../plugins/sdk/assemblyscript/ganglion";

let path: string[] = [];
let field: string = "";
let to: string = "";
let above: f64 = NaN;
let below: f64 = NaN;

onConfigure((config: Bytes): bool => {
  field = configString("field", "");
  path = field.split(".");
  to = configString("to", "alerts");
  above = json.number(json.get(config, "above"));
  below = json.number(json.get(config, "below"));
  if (field == "" || (isNaN(above) && isNaN(below))) {
    log(Level.ERROR, 'there must be a field, and a number "above" or "below"');
    return false;
  }
  return true;
});

register(
  `{"name": "alert", "version": "1", "description": "alerts when a number leaves its bounds",
    "bindings": [{"boundary": "publish", "subjects": ["plant.>"], "order": 900}],
    "emit": ["alerts.>"], "kv": 262144}`,
  Want.SUBJECT | Want.PAYLOAD, (m: Message): Verdict => {
    let value = m.payload;
    for (let i = 0; i < path.length; i++) value = json.get(value, path[i]);
    const v = json.number(value);
    if (isNaN(v)) return PASS;
    let state = "ok";
    if (v > above) state = "above";
    if (v < below) state = "below";

    const subject = m.subject.toString();
    const was = kvGet(subject);
    if (state == (was.status < 0 ? "ok" : was.bytes.toString())) return PASS;
    if (state == "ok") kvDelete(subject);
    else kvSet(subject, Bytes.of(state));

    const w = new Writer();
    w.text('{"subject":').quote(subject).text(',"field":').quote(field).text(',"value":').number(v).text(',"state":').quote(state);
    if (state != "ok") w.text(',"bound":').number(state == "above" ? above : below);
    const status = emit(to + "." + subject, w.byte(125).done());
    if (status < 0) log(Level.WARN, "the alert for " + subject + " is refused: " + status.toString());
    else metricAdd("alerts", 1);
    return PASS;
  });

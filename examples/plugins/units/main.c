// units converts numbers in telemetry and lets only some of it through. Its
// configuration:
//
//	convert      a list; each names a "field" of the JSON object that is the
//	             payload, which becomes field * "factor" + "offset" with at most
//	             "decimals" (3), and is called "as" afterwards, if that is there
//	every        of that many messages of a subject only the first passes
//	interval_ms  and only one in that many milliseconds
//
// Whatever doesn't pass is dropped. For example
//
//	{"convert": [{"field": "temp_f", "as": "temp_c", "factor": 0.5555555556, "offset": -17.7777777778, "decimals": 1}], "every": 10}
//
//	telemetry.7 {"temp_f":70,"rpm":3} -> {"temp_c":21.1,"rpm":3}, and nine are dropped
//
// Counts are in the plugin's store, so that all instances count together. When it
// is full, messages of further subjects all pass.

#include "ganglion.h"

GG_MANIFEST({"name": "units", "version": "1", "description": "converts units and thins out telemetry",
             "bindings": [{"boundary": "publish", "subjects": ["telemetry.>"]}], "kv": 262144})

enum { MAX_RULES = 32 };

static struct rule {
	gg_str field, as;
	double factor, offset;
	int decimals;
} rules[MAX_RULES];

static uint32_t nrules;
static int64_t every, interval;

static int64_t refuse(gg_str why) {
	gg_log(GG_ERROR, why);
	return GG_FAIL;
}

// number reads a member that must be a number if it is there.
static bool number(gg_str object, gg_str key, double *v) {
	gg_str s = gg_json_get(object, key);
	return s.n == 0 || gg_json_number(s, v);
}

int64_t gg_configure(gg_str config) {
	double n = 0, ms = 0;
	if (!number(config, GG("every"), &n) || n < 0 || n > 1e9) return refuse(GG("every is no count of messages"));
	if (!number(config, GG("interval_ms"), &ms) || ms < 0 || ms > 1e12) return refuse(GG("interval_ms is no count of milliseconds"));
	every = (int64_t)n;
	interval = (int64_t)ms;
	for (gg_json_each e = gg_json_first(gg_json_get(config, GG("convert"))); e.value.n > 0; gg_json_next(&e)) {
		if (nrules == MAX_RULES) return refuse(GG("convert has more than 32 items"));
		struct rule *r = &rules[nrules++];
		double decimals = 3;
		r->factor = 1;
		r->field = gg_json_text(gg_json_get(e.value, GG("field")));
		r->as = gg_json_text(gg_json_get(e.value, GG("as")));
		if (r->field.n == 0) return refuse(GG("an item of convert has no field"));
		if (!number(e.value, GG("factor"), &r->factor) || !number(e.value, GG("offset"), &r->offset) ||
		    !number(e.value, GG("decimals"), &decimals) || decimals < 0 || decimals > 9)
			return refuse(GG("factor, offset or decimals (0 to 9) is no number"));
		r->decimals = (int)decimals;
	}
	return GG_WANT_SUBJECT | (nrules ? GG_WANT_PAYLOAD : 0);
}

// count is how often this was called for the subject, this time included; after
// ttl milliseconds it begins anew.
static int64_t count(gg_str kind, gg_str subject, int64_t ttl) {
	gg_buf key = {0};
	gg_put(&key, kind);
	gg_put(&key, subject);
	return gg_kv_add(key.s, 1, ttl);
}

static struct rule *rule_of(gg_str key) {
	for (uint32_t i = 0; i < nrules; i++)
		if (key.n == rules[i].field.n + 2 && gg_equal((gg_str){key.p + 1, key.n - 2}, rules[i].field)) return &rules[i];
	return 0;
}

gg_verdict gg_on_message(gg_message *m) {
	if (every > 1) {
		int64_t n = count(GG("n:"), m->subject, 0);
		if (n > 0 && (n - 1) % every != 0) return GG_DROP;
	}
	if (interval > 0 && count(GG("t:"), m->subject, interval) > 1) return GG_DROP;
	bool changed = false;
	gg_buf b = {0};
	gg_json_each e = gg_json_first(m->payload);
	if (!e.object) return GG_PASS;
	gg_put_char(&b, '{');
	for (; e.value.n > 0; gg_json_next(&e)) {
		struct rule *r = rule_of(e.key);
		double v = 0;
		bool convert = r && gg_json_number(e.value, &v);
		if (b.s.n > 1) gg_put_char(&b, ',');
		if (convert && r->as.n > 0) {
			gg_put_char(&b, '"');
			gg_put(&b, r->as);
			gg_put_char(&b, '"');
		} else {
			gg_put(&b, e.key);
		}
		gg_put_char(&b, ':');
		if (convert) gg_put_number(&b, v * r->factor + r->offset, r->decimals);
		else gg_put(&b, e.value);
		changed |= convert;
	}
	gg_put_char(&b, '}');
	if (!changed) return GG_PASS;
	return b.failed ? GG_FAIL : gg_replace_payload(b.s);
}

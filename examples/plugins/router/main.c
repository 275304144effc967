// router gives messages another subject. Its configuration is a list of rules, of
// which the first that fits counts; without one a message goes on as it is:
//
//	{"rules": [
//	  {"from": "raw.*.temp", "to": "plant.$1.temperature"},
//	  {"from": "raw.>", "header": "Kind", "equals": "alarm", "to": "plant.alarms.>"},
//	  {"from": "raw.*.*", "to": "plant.$2.$1"}
//	]}
//
//	raw.7.temp             -> plant.7.temperature
//	raw.7.x, Kind: alarm   -> plant.alarms.7.x
//	raw.7.rpm              -> plant.rpm.7
//
// from is a pattern with * and >. In to, $1 is what the first * stands for, up to $9,
// and > at the end what the > stands for. header and equals may be left out. What
// the subjects may be at most is the binding's publish_to: plant.> if the host's
// configuration doesn't say otherwise.

#include "ganglion.h"

GG_MANIFEST({"name": "router", "version": "1", "description": "gives messages another subject",
             "bindings": [{"boundary": "publish", "subjects": ["raw.>"], "publish_to": ["plant.>"]}]})

enum { MAX_RULES = 64, MAX_STARS = 9 };

static struct rule {
	gg_str from, to, header, equals;
} rules[MAX_RULES];

static uint32_t nrules;

static int64_t refuse(gg_str why) {
	gg_log(GG_ERROR, why);
	return GG_FAIL;
}

int64_t gg_configure(gg_str config) {
	int64_t want = GG_WANT_SUBJECT;
	for (gg_json_each e = gg_json_first(gg_json_get(config, GG("rules"))); e.value.n > 0; gg_json_next(&e)) {
		if (nrules == MAX_RULES) return refuse(GG("there are more than 64 rules"));
		struct rule *r = &rules[nrules++];
		r->from = gg_json_text(gg_json_get(e.value, GG("from")));
		r->to = gg_json_text(gg_json_get(e.value, GG("to")));
		r->header = gg_json_text(gg_json_get(e.value, GG("header")));
		r->equals = gg_json_text(gg_json_get(e.value, GG("equals")));
		if (r->from.n == 0 || r->to.n == 0) return refuse(GG("a rule must have from and to"));
		if (r->header.n > 0) want |= GG_WANT_HEADERS;
	}
	return want;
}

typedef struct {
	gg_str star[MAX_STARS];
	gg_str rest;
} found;

// token cuts the first token off s.
static gg_str token(gg_str *s) {
	gg_str t = {s->p, gg_index(*s, '.')};
	*s = gg_from(*s, t.n + 1);
	return t;
}

static bool matches(gg_str pattern, gg_str subject, found *f) {
	uint32_t stars = 0;
	while (pattern.n > 0 && subject.n > 0) {
		gg_str p = token(&pattern);
		if (gg_equal(p, GG(">"))) {
			f->rest = subject;
			return true;
		}
		gg_str t = token(&subject);
		if (gg_equal(p, GG("*"))) {
			if (stars < MAX_STARS) f->star[stars++] = t;
		} else if (!gg_equal(p, t)) {
			return false;
		}
	}
	return pattern.n == 0 && subject.n == 0;
}

static gg_str rewrite(gg_str to, const found *f) {
	gg_buf b = {0};
	while (to.n > 0) {
		gg_str t = token(&to);
		if (b.s.n > 0) gg_put_char(&b, '.');
		if (t.n == 2 && t.p[0] == '$' && t.p[1] >= '1' && t.p[1] <= '9') gg_put(&b, f->star[t.p[1] - '1']);
		else if (gg_equal(t, GG(">"))) gg_put(&b, f->rest);
		else gg_put(&b, t);
	}
	return b.s;
}

gg_verdict gg_on_message(gg_message *m) {
	for (struct rule *r = rules; r < rules + nrules; r++) {
		found f = {0};
		if (r->header.n > 0 && !gg_equal(gg_header(m, r->header), r->equals)) continue;
		if (matches(r->from, m->subject, &f)) return gg_replace_subject(rewrite(r->to, &f));
	}
	return GG_PASS;
}

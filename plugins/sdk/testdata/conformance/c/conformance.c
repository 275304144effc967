// The conformance guest in C. What it does on which subject is written in
// ../README.md; it is the same in all languages.

#include "ganglion.h"

GG_MANIFEST({"name": "conformance", "version": "1", "description": "says \"what\" it \\ sees",
             "bindings": [{"boundary": "publish", "subjects": [">"], "publish_to": ["new.>"], "order": 7}, {"boundary": "connect"}],
             "emit": ["out.>"], "kv": 4096, "clock": true})

static gg_str configuration;

int64_t gg_configure(gg_str config) {
	configuration = config;
	if (gg_json_get(config, GG("fail")).n > 0) {
		gg_log(GG_ERROR, GG("told to fail"));
		return GG_FAIL;
	}
	gg_alloc(100); // stays
	return GG_WANT_ALL;
}

GG_ON_TICK(now) { gg_metric_set(GG("tick"), (double)now); }

GG_ON_CLOSE() { gg_log(GG_INFO, GG("closed")); }

static gg_verdict answer(int64_t status, gg_str text) {
	gg_buf b = {0};
	if (status < 0) {
		gg_put(&b, GG("error "));
		gg_put_int(&b, status);
		text = b.s;
	}
	return gg_replace_payload(text);
}

static gg_verdict answer_int(int64_t n) {
	gg_buf b = {0};
	gg_put_int(&b, n);
	return answer(n, b.s);
}

static void hex(gg_buf *b, gg_str name, gg_str s) {
	gg_put(b, name);
	for (uint32_t i = 0; i < s.n; i++) {
		gg_put_char(b, "0123456789abcdef"[(uint8_t)s.p[i] >> 4]);
		gg_put_char(b, "0123456789abcdef"[s.p[i] & 15]);
	}
	gg_put_char(b, '\n');
}

static gg_verdict describe(gg_message *m) {
	gg_buf b = {0};
	gg_put(&b, GG("boundary "));
	gg_put_int(&b, m->boundary);
	gg_put(&b, GG("\nhops "));
	gg_put_int(&b, m->hops);
	hex(&b, GG("\nsubject "), m->subject);
	hex(&b, GG("reply "), m->reply);
	hex(&b, GG("headers "), m->headers);
	hex(&b, GG("payload "), m->payload);
	hex(&b, GG("facts "), m->facts);
	gg_put(&b, GG("present "));
	gg_put_int(&b, m->present);
	gg_put(&b, GG("\nsizes "));
	gg_put_int(&b, m->headers_size);
	gg_put_char(&b, ' ');
	gg_put_int(&b, m->payload_size);
	gg_put_char(&b, '\n');
	return b.failed ? GG_FAIL : gg_replace_payload(b.s);
}

gg_verdict gg_on_message(gg_message *m) {
	gg_str p = m->payload, v;
	gg_buf b = {0};
#define IS(name) gg_equal(m->subject, GG("cmd." name))
	if (IS("pass")) return GG_PASS;
	if (IS("drop")) return GG_DROP;
	if (IS("reject")) return gg_reject(422, p);
	if (IS("reject.plain")) return gg_reject(0, GG(""));
	if (IS("fail")) return GG_FAIL;
	if (IS("trap")) __builtin_trap();
	if (IS("replace.subject")) return gg_replace_subject(p);
	if (IS("replace.reply")) {
		gg_set_reply(p);
		return gg_replace();
	}
	if (IS("replace.headers")) {
		gg_set_headers(p);
		return gg_replace();
	}
	if (IS("replace.payload")) {
		gg_put(&b, p);
		gg_put(&b, p);
		return b.failed ? GG_FAIL : gg_replace_payload(b.s);
	}
	if (IS("replace.inplace")) {
		for (uint32_t i = 0; i < p.n; i++)
			if (p.p[i] >= 'a' && p.p[i] <= 'z') p.p[i] -= 32;
		return gg_replace_payload(p);
	}
	if (IS("replace.all")) {
		gg_set_subject(GG("new.subject"));
		gg_set_reply(GG("new.reply"));
		gg_set_headers(GG("NATS/1.0\r\nA: b\r\n\r\n"));
		gg_set_payload(GG("new"));
		return gg_replace();
	}
	if (IS("header")) {
		gg_put_char(&b, '<');
		gg_put(&b, gg_header(m, p));
		gg_put_char(&b, '>');
		return gg_replace_payload(b.s);
	}
	if (IS("header.set")) return gg_set_header(m, GG("Unit"), p) ? gg_replace() : GG_FAIL;
	if (IS("config")) return gg_config_get(p, &v) < 0 ? gg_replace_payload(GG("none")) : gg_replace_payload(v);
	if (IS("config.raw")) return gg_replace_payload(configuration);
	if (IS("log")) {
		for (int32_t level = GG_DEBUG; level <= GG_ERROR; level += 4) gg_log(level, p);
		return GG_PASS;
	}
	if (IS("metric.add")) {
		gg_metric_add(p, 3);
		return GG_PASS;
	}
	if (IS("metric.set")) {
		gg_metric_set(p, 2.5);
		return GG_PASS;
	}
	if (IS("kv.get")) {
		int32_t status = gg_kv_get(p, &v);
		return answer(status, v);
	}
	if (IS("kv.set")) {
		uint32_t eq = gg_index(p, '=');
		return answer(gg_kv_set((gg_str){p.p, eq}, gg_from(p, eq + 1), 1500), GG("ok"));
	}
	if (IS("kv.delete")) return answer_int(gg_kv_delete(p));
	if (IS("kv.add")) return answer_int(gg_kv_add(p, 7, 60000));
	if (IS("emit")) return answer(gg_emit(p, GG("r"), GG("NATS/1.0\r\nX: y\r\n\r\n"), GG("emitted")), GG("ok"));
	if (IS("now")) return answer_int(gg_now());
	return describe(m);
}

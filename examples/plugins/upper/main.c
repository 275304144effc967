// upper makes payloads on demo.> upper case, as far as they are ASCII. It takes no
// configuration.
//
//	demo.hello "grüße" -> demo.hello "GRüßE"

#include "ganglion.h"

GG_MANIFEST({"name": "upper", "version": "1", "description": "makes payloads upper case",
             "bindings": [{"boundary": "publish", "subjects": ["demo.>"]}]})

int64_t gg_configure(gg_str config) {
	(void)config;
	return GG_WANT_PAYLOAD;
}

gg_verdict gg_on_message(gg_message *m) {
	if (m->payload.n == 0) return GG_PASS;
	gg_str p = m->payload;
	for (uint32_t i = 0; i < p.n; i++)
		if (p.p[i] >= 'a' && p.p[i] <= 'z') p.p[i] -= 32;
	return gg_replace_payload(p);
}

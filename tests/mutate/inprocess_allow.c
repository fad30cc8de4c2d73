/* SPDX-License-Identifier: MIT */
/* allow.c, and of it what is about one opcode. See inprocess.py. */
#include "allow.c"

/* The trials of compare_legacy, compare_vex and compare_evex in one map (of table.h) with one prefix. */
void
allow_opcode(unsigned map, unsigned pp, unsigned opcode)
{
	static const uint8_t vvvvs[] = {0, 6, RSP, R14}, evex_maps[] = {1, 2, 3, 5, 6};

	for (unsigned i = 0; i < 48; i++) {
		struct trial t = {.pp = pp, .opcode = opcode, .high = i & 1};

		if (map <= T3A) {
			t.map = map;
			t.w = i >> 1 & 1;
			if (i < 4 && !is_no_opcode(map, opcode) && !(pp == 1 && t.w && map < 2))
				compare_opcode(&t, 0);
			continue;
		}
		t.vex = true;
		if (map <= V3A) {
			t.map = 1 + map - V0F;
			t.w = i >> 1 & 1;
			t.l = i >> 2 & 1;
			t.low_reg = t.high && i & 8;
			if (i < 16)
				for (unsigned v = 0; v < (i & 8 ? 2 : 4); v++)
					compare_opcode(&t, vvvvs[v]);
			continue;
		}
		t.evex = true;
		t.map = evex_maps[(map - E0F) / 2];
		t.w = (map - E0F) & 1;
		t.masked = i >> 1 & 1;
		t.broadcast = i >> 2 & 1;
		t.l = i >> 3;
		if (i >= 24)
			break;
		compare_opcode(&t, 0);
		compare_opcode(&t, 6);
	}
}

/* One opcode for each kind of row, and one in 37 of those without any. */
int
kinds_main(void)
{
	static struct row seen[2048];
	unsigned count = 0, none = 0;

	enough = 1;
	ZydisDecoderInit(&decoder, ZYDIS_MACHINE_MODE_LONG_64, ZYDIS_STACK_WIDTH_64);
	for (unsigned i = 0; i < MAPS * 4 * 256; i++) {
		unsigned entry = x64_opcodes[i / 1024][i / 256 % 4][i % 256], known = 0;
		struct row row;

		if (!entry ? none++ % 37 : entry & IN_GROUP)
			continue;
		row = x64_rows[entry];
		row.cpu = (uint8_t) (i / 256 % 4); /* with each prefix, in each map */
		row.cpu256 = (uint8_t) (i / 1024);
		while (entry && known < count && memcmp(&seen[known], &row, sizeof row) != 0)
			known++;
		if (entry && known < count)
			continue;
		if (entry)
			seen[count++] = row;
		allow_opcode(i / 1024, i / 256 % 4, i % 256);
	}
	for (unsigned i = 0; i < MAPS * 4 * 256; i++)
		if (x64_opcodes[i / 1024][i / 256 % 4][i % 256] & IN_GROUP)
			allow_opcode(i / 1024, i / 256 % 4, i % 256);
	return wrong != 0;
}

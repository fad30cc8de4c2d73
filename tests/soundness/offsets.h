/* SPDX-License-Identifier: MIT */
/* Offsets in struct arena, for enter.S; run.c checks them. */
#define ARENA_ENTER 0
#define ARENA_TARGET 128
#define ARENA_FLAGS 136
#define ARENA_HOST_RSP 144
#define ARENA_VECTORS 160

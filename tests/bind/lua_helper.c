/* SPDX-License-Identifier: MIT */
/* For the sandbox, beside Lua (and natively, so that programs can be compared). */
#include "lua_helper.h"
#include <stdint.h>

static int
call(lua_State *L)
{
	lua_CFunction f = (lua_CFunction) (uintptr_t) lua_touserdata(L, lua_upvalueindex(1));
	int results = f(L);

	return results == LUA_HELPER_ERROR ? lua_error(L) : results;
}

void
lua_helper_push(lua_State *L, lua_CFunction f)
{
	lua_pushlightuserdata(L, (void *) (uintptr_t) f);
	lua_pushcclosure(L, call, 1);
}

/* SPDX-License-Identifier: MIT */
/* A program with scripts that call its functions. It knows of no sandbox, but that its functions return errors. */
#include "lua_helper.h"
#include <lauxlib.h>
#include <lua.h>
#include <lualib.h>
#include <stdio.h>
#include <string.h>

static int calls;

static int
add(lua_State *L)
{
	calls++;
	if (!lua_isnumber(L, 1) || !lua_isnumber(L, 2)) {
		lua_pushstring(L, "add wants numbers");
		return LUA_HELPER_ERROR;
	}
	lua_pushnumber(L, lua_tonumberx(L, 1, NULL) + lua_tonumberx(L, 2, NULL));
	return 1;
}

static int
say(lua_State *L)
{
	calls++;
	for (int i = 1; i <= lua_gettop(L); i++) {
		const char *text = lua_tolstring(L, i, NULL);

		printf("%s%s", i > 1 ? ", " : "say: ", text ? text : lua_typename(L, lua_type(L, i)));
	}
	printf("\n");
	return 0;
}

/* Calls what it is given: scripts and the program's functions in turns. */
static int
twice(lua_State *L)
{
	calls++;
	for (int i = 0; i < 2; i++) {
		lua_pushvalue(L, 1);
		lua_pushinteger(L, i);
		if (lua_pcallk(L, 1, 0, 0, 0, NULL) != LUA_OK)
			return LUA_HELPER_ERROR;
	}
	return 0;
}

static void
run(lua_State *L, const char *script)
{
	if (luaL_loadbufferx(L, script, strlen(script), "script", NULL) != LUA_OK ||
	    lua_pcallk(L, 0, LUA_MULTRET, 0, 0, NULL) != LUA_OK)
		printf("error: %s\n", lua_tolstring(L, -1, NULL));
	for (int i = 1; i <= lua_gettop(L); i++)
		printf("result %d: %s\n", i, lua_tolstring(L, i, NULL));
	lua_settop(L, 0);
}

int
main(void)
{
	lua_State *L = luaL_newstate();

	luaL_openlibs(L);
	lua_helper_push(L, add);
	lua_setglobal(L, "add");
	lua_helper_push(L, say);
	lua_setglobal(L, "say");
	lua_helper_push(L, twice);
	lua_setglobal(L, "twice");
	run(L, "return add(1, 2), add(0.5, -1)");
	run(L, "say('hello', 42, true, nil, string.rep('x', 300))");
	run(L, "local s = 0; for i = 1, 2000 do s = add(s, i) end; return s");
	run(L, "return pcall(add, 'a', {})");
	run(L, "add('a', {})");
	run(L, "twice(function(i) say('in', i, add(i, 1)) end)");
	run(L, "twice(function(i) twice(function(j) say(i, j); if i + j == 2 then error('deep', 0) end end) end)");
	run(L, "local co = coroutine.wrap(function() for i = 1, 3 do coroutine.yield(add(i, i)) end end); return co(), "
	       "co(), co()");
	run(L, "this is no Lua");
	run(L, "return select('#', table.unpack({}, 1, 100)), #string.format('%99d', 7), math.type(3.0)");
	lua_createtable(L, 0, 0);
	lua_pushinteger(L, 7);
	lua_setfield(L, -2, "seven");
	lua_pushstring(L, "first");
	lua_rawseti(L, -2, 1);
	lua_setglobal(L, "t");
	run(L, "return t.seven, t[1], #t");
	lua_close(L);
	printf("%d calls\n", calls);
	return 0;
}

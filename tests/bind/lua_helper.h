/* SPDX-License-Identifier: MIT */
/*
 * Functions of the program's for a Lua in a sandbox. A C function of Lua's raises an error by a jump past its caller;
 * one of the program's cannot jump in the sandbox, so it returns LUA_HELPER_ERROR with the error on top of the stack,
 * and what stands before it in the sandbox raises.
 */
#ifndef LUA_HELPER_H
#define LUA_HELPER_H

#include <lua.h>

#define LUA_HELPER_ERROR (-1)

/* As lua_pushcfunction. */
void lua_helper_push(lua_State *L, lua_CFunction f);

#endif

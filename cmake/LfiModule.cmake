# SPDX-License-Identifier: MIT
# What a module, a tool and a test may see.
#
#   lfi_module(<name> [USES <module>...])   a folder of lib/: its sources, with an include path of its own
#                                           folder, those of the modules it may use, and include/
#   lfi_tool(<name>)                        tools/<name>.c: include/ only
#   lfi_test(<module> <file>)               tests/c/<module>/<file>.c: the module's folder and those that it uses
#
# Module folders are `-iquote` paths: `#include "box.h"` finds them, `#include <elf.h>` stays the system's.
# A header of a module that is not named in USES is not found, so a forbidden include does not compile;
# `./dev lint` refuses `#include "../`, the one way around.

set(LFI_ARCH_x86_64 x64)
set(LFI_ARCH_aarch64 arm64)
set(LFI_ARCH_riscv64 riscv64)
set(LFI_ARCH ${LFI_ARCH_${CMAKE_SYSTEM_PROCESSOR}})
if(NOT LFI_ARCH STREQUAL x64)
	message(FATAL_ERROR "lfi: ${CMAKE_SYSTEM_PROCESSOR} is not supported yet (x86_64 is)")
endif()

add_library(lfi_flags INTERFACE)
target_compile_features(lfi_flags INTERFACE c_std_17)
target_compile_definitions(lfi_flags INTERFACE _GNU_SOURCE)
target_compile_options(lfi_flags INTERFACE
	-Wall -Wextra -Wshadow -Wvla -Wpointer-arith -Wwrite-strings -Wno-unused-parameter
	$<$<COMPILE_LANGUAGE:C>:-Wstrict-prototypes -Wmissing-prototypes>
	-fvisibility=hidden -fno-common -fstack-protector-strong)
if(LFI_WERROR)
	target_compile_options(lfi_flags INTERFACE -Werror)
endif()
if(LFI_SANITIZE)
	target_compile_options(lfi_flags INTERFACE -fsanitize=${LFI_SANITIZE} -fno-omit-frame-pointer)
	target_link_options(lfi_flags INTERFACE -fsanitize=${LFI_SANITIZE})
	# With its null checks in, gcc takes formats for null that are not.
	target_compile_options(lfi_flags INTERFACE $<$<COMPILE_LANG_AND_ID:C,GNU>:-Wno-format-truncation>)
endif()

set(LFI_LIB_DIR ${CMAKE_SOURCE_DIR}/lib)
set_property(GLOBAL PROPERTY LFI_MODULES "")

# The include paths of one module: its folder, and for modules with architectures that of the target.
function(lfi_module_paths out name)
	set(paths ${LFI_LIB_DIR}/${name})
	foreach(sub ${LFI_ARCH} arch/${LFI_ARCH} abi/${LFI_ARCH})
		if(IS_DIRECTORY ${LFI_LIB_DIR}/${name}/${sub})
			list(APPEND paths ${LFI_LIB_DIR}/${name}/${sub})
		endif()
	endforeach()
	set(${out} ${paths} PARENT_SCOPE)
endfunction()

function(lfi_module name)
	cmake_parse_arguments(M "" "" "USES" ${ARGN})
	file(GLOB sources CONFIGURE_DEPENDS ${LFI_LIB_DIR}/${name}/*.c ${LFI_LIB_DIR}/${name}/*.S
		${LFI_LIB_DIR}/${name}/os/*.c ${LFI_LIB_DIR}/${name}/sys/*.c)
	foreach(sub ${LFI_ARCH} arch/${LFI_ARCH} abi/${LFI_ARCH})
		file(GLOB more CONFIGURE_DEPENDS ${LFI_LIB_DIR}/${name}/${sub}/*.c ${LFI_LIB_DIR}/${name}/${sub}/*.S)
		list(APPEND sources ${more})
	endforeach()
	if(NOT sources)
		message(FATAL_ERROR "lfi: module ${name} has no sources")
	endif()
	add_library(lfi_${name} OBJECT ${sources})
	set_target_properties(lfi_${name} PROPERTIES POSITION_INDEPENDENT_CODE ON)
	target_link_libraries(lfi_${name} PRIVATE lfi_flags)
	target_include_directories(lfi_${name} PRIVATE ${CMAKE_SOURCE_DIR}/include)
	foreach(module ${name} ${M_USES})
		lfi_module_paths(paths ${module})
		foreach(path ${paths})
			target_compile_options(lfi_${name} PRIVATE "SHELL:-iquote ${path}")
		endforeach()
	endforeach()
	set_property(GLOBAL PROPERTY LFI_USES_${name} ${M_USES})
	set_property(GLOBAL APPEND PROPERTY LFI_MODULES ${name})
endfunction()

function(lfi_tool name)
	add_executable(${name} ${CMAKE_SOURCE_DIR}/tools/${name}.c)
	target_include_directories(${name} PRIVATE ${CMAKE_SOURCE_DIR}/include)
	target_link_libraries(${name} PRIVATE lfi_flags lfi_static)
	set_property(GLOBAL APPEND PROPERTY LFI_TOOLS ${name})
endfunction()

# A cmocka program <module>_<file>, registered with ctest under that name.
function(lfi_test module file)
	set(target ${module}_${file})
	add_executable(${target} ${CMAKE_SOURCE_DIR}/tests/c/${module}/${file}.c)
	set_target_properties(${target} PROPERTIES RUNTIME_OUTPUT_DIRECTORY ${CMAKE_BINARY_DIR}/tests)
	target_include_directories(${target} PRIVATE ${CMAKE_SOURCE_DIR}/include ${CMAKE_SOURCE_DIR}/tests/c)
	get_property(uses GLOBAL PROPERTY LFI_USES_${module})
	foreach(used ${module} ${uses})
		lfi_module_paths(paths ${used})
		foreach(path ${paths})
			target_compile_options(${target} PRIVATE "SHELL:-iquote ${path}")
		endforeach()
	endforeach()
	target_link_libraries(${target} PRIVATE lfi_flags lfi_static cmocka)
	add_test(NAME ${target} COMMAND ${target})
	set(build ${CMAKE_BINARY_DIR})
	if(module STREQUAL linux AND LFI_SYSROOT_FROM)
		set(build ${LFI_SYSROOT_FROM})
	endif()
	set_tests_properties(${target} PROPERTIES TIMEOUT 300
		ENVIRONMENT "LFI_BIN=${build}/bin;LFI_BUILD=${build};LFI_SOURCE=${CMAKE_SOURCE_DIR}")
endfunction()

# SPDX-License-Identifier: MIT
# Programs for the sandbox, compiled by lfi-cc against the sysroot; needs LFI_SYSROOT.
#
#   lfi_program(<name> SOURCES <file>... [FLAGS <flag>...] [DIRECTORY <dir>] [KINDS lfi st native])
#
# makes, in DIRECTORY (default: programs, under the build folder), for each kind
#   lfi     <name>.lfi      sandboxed
#   st      <name>.st.lfi   sandboxed, with single-thread returns
#   native  <name>.native   the same compiler, flags and C library without sandboxing
# (default: lfi). Flags default to -O2; a relative path in SOURCES is taken from the current source folder.
# The target program-<name> builds all of them and is part of `all`.

set(LFI_CC_FILE ${CMAKE_BINARY_DIR}/bin/lfi-cc)
set(LFI_BUNDLE 32 CACHE STRING "Size of the code bundles of the programs and libraries that the build makes: 32 or 16")
set(LFI_CC_COMMAND ${LFI_CC_FILE})
if(LFI_BUNDLE EQUAL 16)
	list(APPEND LFI_CC_COMMAND --cfi=bundle16)
endif()
set(LFI_NATIVE_CC_FILE ${CMAKE_BINARY_DIR}/native-sysroot/bin/native-cc)
set(LFI_SYSROOT_STAMP ${CMAKE_BINARY_DIR}/sysroot/.done)

# The command line that compiles, and the suffix of what comes out, for each kind.
function(lfi_program_kind kind command_out suffix_out)
	if(kind STREQUAL lfi)
		set(command ${LFI_CC_COMMAND})
		set(suffix .lfi)
	elseif(kind STREQUAL st)
		set(command ${LFI_CC_COMMAND} --single-thread)
		set(suffix .st.lfi)
	elseif(kind STREQUAL native)
		set(command ${LFI_NATIVE_CC_FILE})
		set(suffix .native)
	else()
		message(FATAL_ERROR "lfi_program: no kind '${kind}'")
	endif()
	set(${command_out} ${command} PARENT_SCOPE)
	set(${suffix_out} ${suffix} PARENT_SCOPE)
endfunction()

function(lfi_program name)
	cmake_parse_arguments(P "" "DIRECTORY" "SOURCES;FLAGS;KINDS" ${ARGN})
	if(NOT P_DIRECTORY)
		set(P_DIRECTORY programs)
	endif()
	if(NOT P_FLAGS)
		set(P_FLAGS -O2)
	endif()
	if(NOT P_KINDS)
		set(P_KINDS lfi)
	endif()
	set(sources)
	foreach(source ${P_SOURCES})
		get_filename_component(source ${source} ABSOLUTE)
		list(APPEND sources ${source})
	endforeach()
	set(directory ${CMAKE_BINARY_DIR}/${P_DIRECTORY})
	file(MAKE_DIRECTORY ${directory})
	set(outputs)
	foreach(kind ${P_KINDS})
		lfi_program_kind(${kind} command suffix)
		set(output ${directory}/${name}${suffix})
		add_custom_command(OUTPUT ${output}
			COMMAND ${command} ${P_FLAGS} ${sources} -o ${output} -lm
			DEPENDS ${sources} ${LFI_SYSROOT_STAMP}
			COMMENT "Compiling ${P_DIRECTORY}/${name}${suffix}" VERBATIM)
		list(APPEND outputs ${output})
	endforeach()
	add_custom_target(program-${name} ALL DEPENDS ${outputs})
	add_dependencies(program-${name} sysroot)
endfunction()

# SPDX-License-Identifier: MIT
# What `cmake --install` puts where: headers in include/lfi, libraries, lfi.pc, lfi-verify.pc, the CMake package, tools, and
# the sysroot in share/lfi/sysroot, where lfi-cc looks for it.
include(CMakePackageConfigHelpers)

install(DIRECTORY include/lfi DESTINATION ${CMAKE_INSTALL_INCLUDEDIR} FILES_MATCHING PATTERN "*.h")
install(TARGETS lfi lfi-core lfi-linux lfi_static lfi_verifier EXPORT lfi-targets
	LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
	ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR})
install(EXPORT lfi-targets NAMESPACE lfi:: DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/lfi)

# Relative to its own place, so that the installed tree can be moved.
file(RELATIVE_PATH LFI_PC_TO_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
string(REGEX REPLACE "/$" "" LFI_PC_TO_PREFIX "${LFI_PC_TO_PREFIX}")
configure_file(cmake/lfi.pc.in lfi.pc @ONLY)
configure_file(cmake/lfi-verify.pc.in lfi-verify.pc @ONLY)
install(FILES ${CMAKE_BINARY_DIR}/lfi.pc ${CMAKE_BINARY_DIR}/lfi-verify.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)

configure_package_config_file(cmake/lfi-config.cmake.in lfi-config.cmake
	INSTALL_DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/lfi)
write_basic_package_version_file(lfi-config-version.cmake COMPATIBILITY SameMajorVersion)
install(FILES ${CMAKE_BINARY_DIR}/lfi-config.cmake ${CMAKE_BINARY_DIR}/lfi-config-version.cmake
	DESTINATION ${CMAKE_INSTALL_LIBDIR}/cmake/lfi)

get_property(LFI_TOOLS GLOBAL PROPERTY LFI_TOOLS)
if(LFI_TOOLS)
	install(TARGETS ${LFI_TOOLS} RUNTIME DESTINATION ${CMAKE_INSTALL_BINDIR})
endif()
if(LFI_SYSROOT)
	install(DIRECTORY ${CMAKE_BINARY_DIR}/sysroot DESTINATION ${CMAKE_INSTALL_DATADIR}/lfi USE_SOURCE_PERMISSIONS
		PATTERN ".*" EXCLUDE)
endif()

/* SPDX-License-Identifier: MIT */
/* The oracles that this machine has. */
#include "oracle.h"

const struct oracle oracles[] = {
    {"zydis", zydis_differs},
#ifdef ORACLE_BINUTILS
    {"binutils", binutils_differs},
#endif
#ifdef ORACLE_LLVM
    {"llvm", llvm_differs},
#endif
};
const unsigned oracle_count = sizeof oracles / sizeof oracles[0];

// Which table to use.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "dispatch/table.h"

namespace nacre {

struct KernelEntry : KernelInfo, KernelCode {};

struct KernelTable {
  const char* isa;
  std::map<std::string, KernelEntry> kernels;
};

// Compiled in and runnable here, weakest first.
const std::vector<KernelTable>& runnable_tables();

// The table in use: the best one, or what the environment variable NACRE_ISA names. Throws std::invalid_argument for a
// name that is unknown, not compiled in, or not runnable here.
const KernelTable& active_table();

// The named table; an empty name means the active one.
const KernelTable& table_of(const std::string& isa);

// Null where there is none.
const KernelEntry* find_kernel(const KernelTable& table, const std::string& name);

}  // namespace nacre

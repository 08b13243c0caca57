#include "dispatch/dispatch.h"

#include <cstdlib>
#include <stdexcept>
#include <unordered_map>

#include "dispatch/cpu.h"

namespace nacre {

// The build defines NACRE_WITH_<isa> for each table that it links.
#ifdef NACRE_WITH_baseline
namespace baseline {
extern const KernelTable kTable;
}
#endif
#ifdef NACRE_WITH_avx2
namespace avx2 {
extern const KernelTable kTable;
}
#endif
#ifdef NACRE_WITH_avx512
namespace avx512 {
extern const KernelTable kTable;
}
#endif
#ifdef NACRE_WITH_neon
namespace neon {
extern const KernelTable kTable;
}
#endif

namespace {

std::vector<const KernelTable*> find_tables() {
  std::vector<const KernelTable*> list;
#ifdef NACRE_WITH_baseline
  list.push_back(&baseline::kTable);
#endif
#ifdef NACRE_WITH_neon
  list.push_back(&neon::kTable);
#endif
#ifdef NACRE_WITH_avx2
  if (cpu_runs_avx2()) list.push_back(&avx2::kTable);
#endif
#ifdef NACRE_WITH_avx512
  if (cpu_runs_avx512()) list.push_back(&avx512::kTable);
#endif
  return list;
}

const KernelTable& choose(const std::string& isa, const std::string& said) {
  std::string names;
  for (const KernelTable* t : runnable_tables()) {
    if (isa == t->isa) return *t;
    names += (names.empty() ? "" : ", ") + std::string(t->isa);
  }
  throw std::invalid_argument(said + "'" + isa + "' cannot be used: this build on this CPU runs " +
                              (names.empty() ? "none of the instruction sets that it was compiled for" : names));
}

using Index = std::unordered_map<std::string, const KernelEntry*>;

Index index_of(const KernelTable& table) {
  Index index;
  for (int i = 0; i < table.n; ++i) index.emplace(table.at[i].name, &table.at[i]);
  return index;
}

}  // namespace

const std::vector<const KernelTable*>& runnable_tables() {
  static const std::vector<const KernelTable*> list = find_tables();
  return list;
}

const KernelTable& active_table() {
  static const KernelTable& table = []() -> const KernelTable& {
    const char* asked = std::getenv("NACRE_ISA");
    if (asked && *asked) return choose(asked, "NACRE_ISA=");
    if (runnable_tables().empty()) return choose("", "ISA ");
    return *runnable_tables().back();
  }();
  return table;
}

const KernelTable& table_of(const std::string& isa) { return isa.empty() ? active_table() : choose(isa, "isa="); }

const KernelEntry* find_kernel(const KernelTable& table, const std::string& name) {
  static const std::unordered_map<const KernelTable*, Index> all = [] {
    std::unordered_map<const KernelTable*, Index> tables;
    for (const KernelTable* t : runnable_tables()) tables.emplace(t, index_of(*t));
    return tables;
  }();
  const auto in = all.find(&table);
  if (in == all.end()) return nullptr;
  const auto found = in->second.find(name);
  return found == in->second.end() ? nullptr : found->second;
}

}  // namespace nacre

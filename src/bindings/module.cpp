// The Python module nacre._core: it binds tables, not ops.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include "bindings/kernel_calls.h"
#include "dispatch/dispatch.h"

namespace nacre {
namespace {

std::vector<std::string> isas() {
  std::vector<std::string> names;
  for (const KernelTable* t : runnable_tables()) names.emplace_back(t->isa);
  return names;
}

}  // namespace

PYBIND11_MODULE(_core, m) {
  m.doc() = "Kernels and the runtime of nacre";
  active_table();  // a NACRE_ISA that cannot be is reported by the import
  m.def("isas", &isas, "Instruction sets that this build can use on this CPU, weakest first.");
  m.def("isa", [] { return active_table().isa; }, "The instruction set in use.");
  bind_kernel_calls(m);
}

}  // namespace nacre

// What a line means: for each pass, which kernels are called with which fields on which buffers.
#pragma once
#include <map>
#include <string>
#include <vector>

#include "cpp/line.h"
#include "dispatch/dispatch.h"

namespace nacre {

using FieldValues = std::map<std::string, std::vector<i64>>;  // what is not named is 0

struct KernelCall {
  std::string kernel;
  FieldValues fields;
  // Names of the buffers, in the order of the kernel's operands; the same name is the same buffer. "" is absent. A name that
  // begins with "tmp" lies between two calls and is no traffic that the problem asks for; one that begins with "packed" has the
  // layout of an ISA; "index_of_sums" may differ where two sums are equal but for their rounding.
  std::vector<std::string> operands;
};

struct Case {
  std::string pass;
  std::vector<KernelCall> calls;
  std::map<std::string, i64>
      below;  // buffers of whole numbers, random in 0 .. below-1; all others are random in -1 .. 1
  std::map<std::string, i64> zeros = {};  // buffers that hold zeros among those, so many percent
  std::vector<KernelCall> before = {};    // what makes inputs; not timed
};

// Throws std::invalid_argument for a name that is no form and for keys that make no sense.
std::vector<Case> cases_of(const Line& line, const KernelTable& table);

// The field words of a call. Throws std::invalid_argument for a field that the kernel does not have.
std::vector<i64> words_of(const KernelEntry& kernel, const FieldValues& values);

}  // namespace nacre

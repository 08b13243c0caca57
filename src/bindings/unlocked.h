// The interpreter's lock, given back while C++ works.
#pragma once
#include <pybind11/pybind11.h>

#if defined(__GLIBCXX__)
#include <cxxabi.h>
#include <unistd.h>
#endif

namespace nacre {

// Other threads may run Python while one of these lives. A daemon thread that wants the lock back when Python has ended is
// ended by it (before 3.14), which unwinds the stack: no destructor may let that through, and what it would unwind holds
// objects of an interpreter that is gone. It stays here instead until the process ends.
class Unlocked {
 public:
  Unlocked() : state_(PyEval_SaveThread()) {}
  Unlocked(const Unlocked&) = delete;
  Unlocked& operator=(const Unlocked&) = delete;
  ~Unlocked() {
#if defined(__GLIBCXX__)
    try {
      PyEval_RestoreThread(state_);
    } catch (abi::__forced_unwind&) {
      for (;;) pause();
    }
#else
    PyEval_RestoreThread(state_);
#endif
  }

 private:
  PyThreadState* state_;
};

}  // namespace nacre

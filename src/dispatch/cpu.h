// What this CPU and this operating system can run.
#pragma once

namespace nacre {

bool cpu_runs_avx2();    // with FMA, F16C and BMI2, as the kernels are compiled
bool cpu_runs_avx512();  // F, BW, DQ, VL on top of the above

}  // namespace nacre

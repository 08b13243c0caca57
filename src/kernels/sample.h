// Images read between their pixels.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

enum SampleMode : i64 { kSampleConstant, kSampleNearest, kSampleWrap, kSampleMirror, kSampleReflect };

struct SampleShape {
  i64 N, H, W, C;
  i64 K;      // places read in each image
  i64 order;  // 0: the nearest pixel, 1: linear between the four around a place
  i64 mode;   // what lies outside: SampleMode
  double fill;
};
NACRE_FIELDS(SampleShape, N, H, W, C, K, order, mode, fill)

namespace NACRE_ISA {

// y[n,k,:] = x[n] at row rows[n,k] and column columns[n,k]. A place that is no number gives no number where weights count,
// and else pixel 0.
Facts sample_facts(const SampleShape& s);
void sample(const SampleShape& s, Slice units, const float* x, const float* rows, const float* columns, float* y);

}  // namespace NACRE_ISA
}  // namespace nacre

// The cells of rnn.h over some rows, as steps of a sequence need them, too. Rows follow each other without gaps.
#pragma once
#include "base/types.h"

namespace nacre::NACRE_ISA {

// `mask`, where there is one, is 0 for the rows whose state stays as it is, and whose gradient goes past the step.
struct LstmRows {
  i64 rows, U;
  const float *z, *x;  // the gates are functions of z, or of z + x where there is an x
  const float* mask;
  const float *h, *c;  // before the step; h is needed where there is a mask
  float *h_out, *c_out;
  float* gates;  // may be z
};
void lstm_rows(const LstmRows& r);

struct LstmBackRows {
  i64 rows, U;
  const float *gates, *c, *c_out, *dh, *dc_out;
  const float* mask;
  const float* outside;  // added to dc, where it is there; dc may be dc_out
  float *dz, *dc;
};
void lstm_back_rows(const LstmBackRows& r);

struct GruRows {
  i64 rows, U;
  const float *x, *inner;
  const float* mask;
  const float* h;
  float* h_out;
  float* gates;  // may be inner
};
void gru_rows(const GruRows& r);

struct GruBackRows {
  i64 rows, U;
  const float *gates, *inner, *h, *dh_out;
  const float* mask;
  const float* outside;  // added to dh, where it is there; dh may be dh_out
  float *dx, *d_inner, *dh;
};
void gru_back_rows(const GruBackRows& r);

// d = of_step + outside, and where the step was masked what was in d.
struct JoinRows {
  i64 rows, U;
  const float* of_step;
  const float* mask;
  const float* outside;
  float* d;
};
void join_rows(const JoinRows& r);

}  // namespace nacre::NACRE_ISA

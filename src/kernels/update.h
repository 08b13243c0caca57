// Steps of the optimizers, one pass over flat arrays; the formulas are Keras'. The learning rate and the step counter are
// variables, hence operands. Every update first takes off the decoupled weight decay: w -= w * weight_decay * lr. Outputs
// are usually the inputs' own memory.
#pragma once
#include "base/fields.h"
#include "base/types.h"

namespace nacre {

struct SgdShape {
  i64 n;
  double weight_decay;
};
NACRE_FIELDS(SgdShape, n, weight_decay)

struct MomentumShape {
  i64 n, nesterov;
  double momentum, weight_decay;
};
NACRE_FIELDS(MomentumShape, n, nesterov, momentum, weight_decay)

struct AdamShape {
  i64 n;
  i64 amsgrad;     // 1: divides by the largest v so far, vhat
  i64 step_dtype;  // of `iterations`: int32 or int64
  double beta_1, beta_2, epsilon, weight_decay;
};
NACRE_FIELDS(AdamShape, n, amsgrad, step_dtype, beta_1, beta_2, epsilon, weight_decay)

struct RmspropShape {
  i64 n;
  i64 centered;                                 // 1: takes the square of the average gradient off
  double rho, momentum, epsilon, weight_decay;  // momentum 0: no slot m
};
NACRE_FIELDS(RmspropShape, n, centered, rho, momentum, epsilon, weight_decay)

struct AdagradShape {
  i64 n;
  double epsilon, weight_decay;
};
NACRE_FIELDS(AdagradShape, n, epsilon, weight_decay)

namespace NACRE_ISA {

// w' = w - lr * g
Facts sgd_facts(const SgdShape& s);
void sgd(const SgdShape& s, Slice units, const float* w, const float* g, const float* lr, float* w_out);

// m' = momentum * m - lr * g; w' = w + m', or with nesterov w + momentum * m' - lr * g
Facts momentum_facts(const MomentumShape& s);
void momentum(const MomentumShape& s, Slice units, const float* w, const float* g, const float* m, const float* lr,
              float* w_out, float* m_out);

// m' = m + (g - m)(1 - beta_1); v' = v + (g^2 - v)(1 - beta_2); with t = iterations + 1
// w' = w - m' * lr * sqrt(1 - beta_2^t) / (1 - beta_1^t) / (sqrt(v') + epsilon); vhat is absent without amsgrad
Facts adam_facts(const AdamShape& s);
void adam(const AdamShape& s, Slice units, const float* w, const float* g, const float* m, const float* v,
          const float* vhat, const float* lr, const void* iterations, float* w_out, float* m_out, float* v_out,
          float* vhat_out);

// v' = rho v + (1 - rho) g^2; a' = rho a + (1 - rho) g (centered); step = lr g / sqrt(v' - a'^2 + epsilon)
// w' = w - step, or with momentum m' = momentum m + step; w' = w - m'
Facts rmsprop_facts(const RmspropShape& s);
void rmsprop(const RmspropShape& s, Slice units, const float* w, const float* g, const float* v, const float* m,
             const float* a, const float* lr, float* w_out, float* v_out, float* m_out, float* a_out);

// a' = a + g^2; w' = w - lr g / sqrt(a' + epsilon)
Facts adagrad_facts(const AdagradShape& s);
void adagrad(const AdagradShape& s, Slice units, const float* w, const float* g, const float* a, const float* lr,
             float* w_out, float* a_out);

}  // namespace NACRE_ISA
}  // namespace nacre

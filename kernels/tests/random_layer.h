// Layers of every kind, for tests that have no sweep of their own.
#pragma once

#include "case.h"

namespace dqmq::test {

// `most` bounds channels and sides of the pictures; about one output in twenty is empty.
void draw(Case& c, Random& random, int64_t most);

}  // namespace dqmq::test

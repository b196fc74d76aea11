"""The parts of a model that belong to the core: classifier, generator, distillation batch."""

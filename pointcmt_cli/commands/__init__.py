"""The commands: one module each, options in, tables out; heavy imports inside the bodies."""

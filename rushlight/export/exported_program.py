class ExportedProgram: pass

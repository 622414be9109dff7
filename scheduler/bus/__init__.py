"""The bus: carries commands, facts, answers, views and events; never the only place of anything."""

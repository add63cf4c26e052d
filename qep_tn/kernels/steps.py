"""The steps of a sweep, each in two versions: where no charge is conserved, and where one is."""

from qep_tn.kernels import charged_steps, plain_steps
from qep_tn.kernels.compilation import chosen

update_left = chosen(plain_steps.update_left, charged_steps.update_left)
update_right = chosen(plain_steps.update_right, charged_steps.update_right)
move_centre_left = chosen(plain_steps.move_centre_left, charged_steps.move_centre_left)
move_centre_right = chosen(plain_steps.move_centre_right, charged_steps.move_centre_right)
one_site_problem = chosen(plain_steps.one_site_problem, charged_steps.one_site_problem)
two_site_problem = chosen(plain_steps.two_site_problem, charged_steps.two_site_problem)
vector_of = chosen(plain_steps.vector_of, charged_steps.vector_of)
set_vector = chosen(plain_steps.set_vector, charged_steps.set_vector)
apply_problem = chosen(plain_steps.apply_problem, charged_steps.apply_problem)
two_site_tensor = chosen(plain_steps.two_site_tensor, charged_steps.two_site_tensor)
keep_bond = chosen(plain_steps.keep_bond, charged_steps.keep_bond)
split_right = chosen(plain_steps.split_right, charged_steps.split_right)
split_left = chosen(plain_steps.split_left, charged_steps.split_left)
empty_window = chosen(plain_steps.empty_window, charged_steps.empty_window)
empty_whole = chosen(plain_steps.empty_whole, charged_steps.empty_whole)
